import { readdirSync, readFileSync } from "node:fs";
import { parseLine, type RecordedEvent } from "./event.ts";

// For tests: the events that the server's own tests hold it to.
const golden = new URL("../../../shared/domain/tests/golden/v1/", import.meta.url);

export const SAMPLES = readdirSync(golden).map((file) => file.replace(".json", ""));

export function sample(name: string): RecordedEvent {
  const event = parseLine(readFileSync(new URL(`${name}.json`, golden), "utf8").trim());
  if (!event) throw new Error(`${name} is no event`);
  return event;
}
