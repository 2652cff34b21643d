import { exactTime, shortTime } from "./format.ts";

/** A short time, with the exact time as its tooltip. */
export function Time({ time, approximate = false }: { time: string; approximate?: boolean }) {
  const exact = approximate ? `${exactTime(time)} (time of detection)` : exactTime(time);
  return (
    <time dateTime={time} title={exact}>
      {approximate ? "~" : ""}
      {shortTime(time)}
    </time>
  );
}
