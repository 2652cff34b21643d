import type { Schemas } from "../api/client.ts";
import { count, counted } from "../ui/format.ts";

export type Status = Schemas["Status"];

/** `good` needs no action, `busy` may need attention, `bad` needs an operator, `unknown` is not reported now. */
export type Level = "good" | "busy" | "bad" | "unknown";

export interface Finding {
  title: string;
  level: Level;
  text: string;
}

/** A lag above this is more than a short delay. */
const MAX_GOOD_LAG = 100;

/** The state of each part of the system, in one sentence each. */
export function findings(status: Status): Finding[] {
  return [connection(status), projectors(status), backlog(status), projections(status), deadLetters(status)];
}

function connection({ connected }: Status): Finding {
  return connected
    ? { title: "NATS", level: "good", text: "connected" }
    : { title: "NATS", level: "bad", text: "The API cannot reach NATS. Check the NATS server." };
}

function projectors({ projectors }: Status): Finding {
  const title = "Projectors";
  if (!projectors) return { title, level: "unknown", text: "not reported by this API" };
  const broken = projectors.filter(({ ready }) => !ready);
  if (projectors.length === 0) return { title, level: "bad", text: "No projector responds. Start one." };
  if (broken.length > 0)
    return { title, level: "bad", text: `${broken.length} of ${projectors.length} not ready` };
  return { title, level: "good", text: `${counted(projectors.length, "projector")} ready` };
}

function backlog({ backlog }: Status): Finding {
  const title = "Backlog";
  if (!backlog) return { title, level: "unknown", text: "not reported by any projector" };
  const level = backlog.pending > MAX_GOOD_LAG ? "busy" : "good";
  return { title, level, text: `${count(backlog.pending)} waiting, ${count(backlog.in_hand)} in progress` };
}

function projections({ users, groups, activity, projections }: Status): Finding {
  const title = "Projections";
  const lags = [users.lag, groups.lag, activity.lag, ...(projections ?? []).map(({ lag }) => lag)];
  const known = lags.filter((lag): lag is number => typeof lag === "number");
  if (known.length < lags.length)
    return { title, level: "unknown", text: "The event log is unavailable. Check NATS." };
  const worst = Math.max(...known);
  if (worst === 0) return { title, level: "good", text: "up to date" };
  return {
    title,
    level: worst > MAX_GOOD_LAG ? "busy" : "good",
    text: `${counted(worst, "event")} behind`,
  };
}

function deadLetters({ dead_letters }: Status): Finding {
  const title = "Dead letters";
  if (!dead_letters) return { title, level: "unknown", text: "The stream is unavailable. Check NATS." };
  if (dead_letters.messages === 0) return { title, level: "good", text: "none" };
  return {
    title,
    level: "bad",
    text: `${counted(dead_letters.messages, "delivery", "deliveries")} to replay or drop`,
  };
}
