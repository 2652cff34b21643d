import { Anchor } from "@mantine/core";
import { Link } from "@tanstack/react-router";
import { useEffect, useSyncExternalStore } from "react";
import { answer } from "../api/client.ts";
import { useApp, useIsAdmin } from "../app/context.tsx";
import { actorOf, type RecordedEvent } from "../event/event.ts";
import { type Part, sentence } from "../event/sentence.ts";

/** What an event says, with links to whom it names. */
export function SentenceView({ event }: { event: RecordedEvent }) {
  const { names } = useApp();
  const isAdmin = useIsAdmin();
  useSyncExternalStore(names.subscribe, names.getVersion);
  useActorName(event.known ? actorOf(event) : null);
  const parts = sentence(event, (pk) => names.get(pk));
  return (
    <span>
      {parts.map((part, index) => (
        // The parts of a sentence never change their places.
        // biome-ignore lint/suspicious/noArrayIndexKey: there is nothing else that tells them apart
        <PartView key={index} part={part} linked={isAdmin} />
      ))}
    </span>
  );
}

function PartView({ part, linked }: { part: Part; linked: boolean }) {
  switch (part.kind) {
    case "text":
      return part.text;
    case "user":
      if (!linked) return <b>{part.name}</b>;
      return (
        <Anchor
          inherit
          fw={500}
          renderRoot={(props) => <Link {...props} to="/users/$pk" params={{ pk: String(part.pk) }} />}
        >
          {part.name}
        </Anchor>
      );
    case "group":
      if (!linked) return <b>{part.name}</b>;
      return (
        <Anchor
          inherit
          fw={500}
          renderRoot={(props) => <Link {...props} to="/groups/$uuid" params={{ uuid: part.uuid }} />}
        >
          {part.name}
        </Anchor>
      );
    default:
      return unreachable(part);
  }
}

/** Finds out what somebody is called whom an event names by key alone. */
function useActorName(pk: number | null) {
  const { api, names } = useApp();
  const isAdmin = useIsAdmin();
  useEffect(() => {
    if (pk === null || !isAdmin || !names.shouldAsk(pk)) return;
    answer(api.GET("/api/users/{pk}", { params: { path: { pk } } })).then(
      ({ user }) => names.learn(pk, user?.name || user?.username || ""),
      // The key says enough.
      () => {},
    );
  }, [pk, isAdmin, api, names]);
}

function unreachable(part: never): never {
  throw new Error(`a part that nobody thought of: ${JSON.stringify(part)}`);
}
