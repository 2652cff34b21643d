import { useEffect, useSyncExternalStore } from "react";
import { unwrap } from "../api/client.ts";
import { useApp, useIsAdmin } from "../app/context.tsx";
import { actorOf, type RecordedEvent } from "../event/event.ts";
import { type Part, sentence } from "../event/sentence.ts";
import { unreachable } from "../unreachable.ts";
import { GroupLink, UserLink } from "./links.tsx";

/** The sentence of an event. For admins, users and groups are links. */
export function SentenceView({ event }: { event: RecordedEvent }) {
  const { names } = useApp();
  const isAdmin = useIsAdmin();
  useSyncExternalStore(names.subscribe, names.getVersion);
  useActorName(event.known ? actorOf(event) : null);
  const parts = sentence(event, (pk) => names.get(pk));
  return (
    <span>
      {parts.map((part, index) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: parts have no other key, and their order never changes
        <PartView key={index} part={part} isLinked={isAdmin} />
      ))}
    </span>
  );
}

function PartView({ part, isLinked }: { part: Part; isLinked: boolean }) {
  if (part.kind === "text") return part.text;
  if (!isLinked) return <b>{part.name}</b>;
  const props = { inherit: true, fw: 500, children: part.name };
  switch (part.kind) {
    case "user":
      return <UserLink pk={part.pk} {...props} />;
    case "group":
      return <GroupLink uuid={part.uuid} {...props} />;
    default:
      return unreachable(part);
  }
}

/** Looks up the name of the acting user, since an event has only their key. */
function useActorName(pk: number | null) {
  const { api, names } = useApp();
  const isAdmin = useIsAdmin();
  useEffect(() => {
    if (pk === null || !isAdmin || !names.claimLookup(pk)) return;
    unwrap(api.GET("/api/users/{pk}", { params: { path: { pk } } })).then(
      ({ user }) => names.learn(pk, user?.name || user?.username || ""),
      // Without a name, the sentence shows the key.
      () => {},
    );
  }, [pk, isAdmin, api, names]);
}
