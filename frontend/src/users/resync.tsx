import { Button, Group, Text } from "@mantine/core";
import { IconRefresh } from "@tabler/icons-react";
import { useMutation } from "@tanstack/react-query";
import { useEffect, useState, useSyncExternalStore } from "react";
import { type Schemas, unwrap } from "../api/client.ts";
import { asProblem } from "../api/problem.ts";
import { useApp } from "../app/context.tsx";
import { asSentence } from "../ui/format.ts";
import { SentenceView } from "../ui/sentence-view.tsx";

/** A resync without an event after this time has found no difference. */
const OUTCOME_MS = 5_000;

/** A button that compares a user with authentik now. The feed brings the resulting event. */
export function Resync({ pk }: { pk: number | "me" }) {
  const { api } = useApp();
  const resync = useMutation({
    mutationFn: () =>
      unwrap(
        pk === "me"
          ? api.POST("/api/me/resync")
          : api.POST("/api/users/{pk}/resync", { params: { path: { pk } } }),
      ),
  });
  return (
    <Group gap="xs" mih={30}>
      <Button
        size="xs"
        variant="default"
        loading={resync.isPending}
        leftSection={<IconRefresh size={14} aria-hidden />}
        onClick={() => resync.mutate()}
      >
        Resync now
      </Button>
      <Text size="sm" role="status" component="div" c={resync.error ? "red" : "dimmed"}>
        {resync.error && `Resync failed: ${asSentence(asProblem(resync.error).message)} Try again later.`}
        {resync.data && <Outcome key={resync.data.delivery} accepted={resync.data} />}
      </Text>
    </Group>
  );
}

function Outcome({ accepted: { delivery } }: { accepted: Schemas["Accepted"] }) {
  const { feed } = useApp();
  const items = useSyncExternalStore(feed.subscribe, () => feed.get().buffer.items);
  const [isOver, setIsOver] = useState(false);
  useEffect(() => {
    const timer = setTimeout(() => setIsOver(true), OUTCOME_MS);
    return () => clearTimeout(timer);
  }, []);
  const found = items.findLast((event) => event.cause === delivery);
  if (found) return <SentenceView event={found} />;
  return isOver ? "Resync done: no differences found." : "Resync started; differences appear here.";
}
