import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { parseLine, type RecordedEvent } from "./event.ts";

// The golden events of the server's tests, for use in tests of the page.
const golden = path.join(import.meta.dirname, "../../../shared/domain/tests/golden/v1");

export const SAMPLES = readdirSync(golden).map((file) => file.replace(".json", ""));

export function sample(name: string): RecordedEvent {
  const event = parseLine(readFileSync(path.join(golden, `${name}.json`), "utf8").trim());
  if (!event) throw new Error(`the golden file ${name} is not an event`);
  return event;
}
