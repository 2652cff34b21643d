import { sample } from "../event/samples.ts";

const { raw } = sample("user-updated");

export interface Log {
  /** The last sequence of the log. */
  head: number;
  /** The sequences of the events that the API returns. */
  sequences: readonly number[];
}

/** The API's page for a request URL: at most `limit` events after a cursor, oldest first. */
export function pageOf({ head, sequences }: Log, url: URL) {
  const after = url.searchParams.get("after") ?? "earliest";
  const limit = Number(url.searchParams.get("limit"));
  const start = after === "earliest" ? 0 : Number(after.replace(/^e-/, ""));
  const found = sequences.filter((sequence) => sequence > start && sequence <= head).slice(0, limit);
  const next = found.length < limit ? head : found.at(-1);
  const events = found.map((sequence) => ({ ...JSON.parse(raw), id: `e-${sequence}` }));
  return { events, next: `e-${next}`, as_of: `e-${head}` };
}
