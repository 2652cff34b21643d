import { sample } from "../event/samples.ts";

const { raw } = sample("user-updated");

/** A log with so many events, of which the API tells those of these sequences. */
export interface Log {
  head: number;
  sequences: readonly number[];
}

/** Answers as the API does: forward from a place, and never more than is asked for. */
export function pageOf({ head, sequences }: Log, url: URL) {
  const after = url.searchParams.get("after") ?? "earliest";
  const limit = Number(url.searchParams.get("limit"));
  const start = after === "earliest" ? 0 : Number(after.replace(/^e-/, ""));
  const found = sequences.filter((sequence) => sequence > start && sequence <= head).slice(0, limit);
  const next = found.length < limit ? head : found.at(-1);
  const events = found.map((sequence) => ({ ...JSON.parse(raw), id: `e-${sequence}` }));
  return { events, next: `e-${next}`, as_of: `e-${head}` };
}
