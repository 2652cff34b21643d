import { sample } from "../event/samples.ts";
import type { Message } from "../feed/stream.ts";

const updated = sample("user-updated");

/** The feed's message for the event at a sequence of the log. */
export function eventMessage(sequence: number, subject = updated.subject, epoch = "e"): Message {
  const event = { ...updated, id: `${epoch}-${sequence}`, subject };
  return { kind: "event", received: { event, cursor: { epoch, sequence } } };
}
