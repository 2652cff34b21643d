import { exactTime, shortTime } from "./format.ts";

/** A moment: short on the page, exact on pointing at it. */
export function Time({ time, approximate = false }: { time: string; approximate?: boolean }) {
  const exact = approximate ? `${exactTime(time)}, when it was noticed` : exactTime(time);
  return (
    <time dateTime={time} title={exact}>
      {approximate ? "~" : ""}
      {shortTime(time)}
    </time>
  );
}
