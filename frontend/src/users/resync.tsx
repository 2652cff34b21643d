import { Button, Group, Text } from "@mantine/core";
import { IconRefresh } from "@tabler/icons-react";
import { useMutation } from "@tanstack/react-query";
import { useEffect, useState, useSyncExternalStore } from "react";
import { answer, type Schemas } from "../api/client.ts";
import { asProblem } from "../api/problem.ts";
import { useApp } from "../app/context.tsx";
import { SentenceView } from "../ui/sentence-view.tsx";

/** After so long an answer that found a difference would be there. */
const PATIENCE_MS = 5_000;

/** Has authentik asked about a user now. What that leads to comes by the feed. */
export function Resync({ pk }: { pk: number | "me" }) {
  const { api } = useApp();
  const asked = useMutation({
    mutationFn: () =>
      answer(
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
        loading={asked.isPending}
        leftSection={<IconRefresh size={14} aria-hidden />}
        onClick={() => asked.mutate()}
      >
        Ask authentik now
      </Button>
      <Text size="sm" role="status" component="div" c={asked.error ? "red" : "dimmed"}>
        {asked.error && `Not asked: ${asProblem(asked.error).message}.`}
        {asked.data && <Outcome key={asked.data.delivery} accepted={asked.data} />}
      </Text>
    </Group>
  );
}

function Outcome({ accepted: { delivery } }: { accepted: Schemas["Accepted"] }) {
  const { feed } = useApp();
  const items = useSyncExternalStore(feed.subscribe, () => feed.get().buffer.items);
  const [isLate, setIsLate] = useState(false);
  useEffect(() => {
    const timer = setTimeout(() => setIsLate(true), PATIENCE_MS);
    return () => clearTimeout(timer);
  }, []);
  const found = items.findLast((event) => event.cause === delivery);
  if (found) return <SentenceView event={found} />;
  return isLate
    ? "Asked: nothing differs from what is recorded."
    : "Asked; a difference would appear in a moment.";
}
