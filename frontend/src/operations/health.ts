import type { Schemas } from "../api/client.ts";
import { count, counted } from "../ui/format.ts";

export type Status = Schemas["Status"];

/** How something is: nothing to do, worth a look, broken; or it cannot be known now. */
export type Level = "good" | "busy" | "bad" | "unknown";

export interface Finding {
  title: string;
  level: Level;
  text: string;
}

/** Beyond that, what reads the log is not merely a moment behind. */
const LAG_WORTH_A_LOOK = 100;

/** How the system is, each part in one sentence. */
export function findings(status: Status): Finding[] {
  return [connection(status), projectors(status), backlog(status), projections(status), deadLetters(status)];
}

function connection({ connected }: Status): Finding {
  return connected
    ? { title: "NATS", level: "good", text: "connected" }
    : { title: "NATS", level: "bad", text: "The API cannot reach NATS: look at the server." };
}

function projectors({ projectors }: Status): Finding {
  const title = "Projectors";
  if (!projectors) return { title, level: "unknown", text: "This API does not tell." };
  const broken = projectors.filter(({ ready }) => !ready);
  if (projectors.length === 0) return { title, level: "bad", text: "None answers: start one." };
  if (broken.length > 0)
    return { title, level: "bad", text: `${broken.length} of ${projectors.length} not ready` };
  return { title, level: "good", text: `${counted(projectors.length, "projector")} ready` };
}

function backlog({ backlog }: Status): Finding {
  const title = "Backlog";
  if (!backlog) return { title, level: "unknown", text: "No projector tells." };
  const level = backlog.pending > LAG_WORTH_A_LOOK ? "busy" : "good";
  return { title, level, text: `${count(backlog.pending)} waiting, ${count(backlog.in_hand)} in hand` };
}

function projections({ users, groups, activity, projections }: Status): Finding {
  const title = "Projections";
  const lags = [users.lag, groups.lag, activity.lag, ...(projections ?? []).map(({ lag }) => lag)];
  const known = lags.filter((lag): lag is number => typeof lag === "number");
  if (known.length < lags.length) return { title, level: "unknown", text: "The log cannot be asked now." };
  const worst = Math.max(...known);
  if (worst === 0) return { title, level: "good", text: "up to date" };
  return {
    title,
    level: worst > LAG_WORTH_A_LOOK ? "busy" : "good",
    text: `${counted(worst, "event")} behind`,
  };
}

function deadLetters({ dead_letters }: Status): Finding {
  const title = "Dead letters";
  if (!dead_letters) return { title, level: "unknown", text: "The stream cannot be asked now." };
  if (dead_letters.messages === 0) return { title, level: "good", text: "none" };
  return {
    title,
    level: "bad",
    text: `${counted(dead_letters.messages, "delivery", "deliveries")} set aside`,
  };
}
