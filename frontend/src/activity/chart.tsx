import "uplot/dist/uPlot.min.css";
import { useComputedColorScheme } from "@mantine/core";
import { useEffect, useRef } from "react";
import uPlot from "uplot";
import { type Row, SERIES } from "./series.ts";

const HEIGHT_PX = 260;

const DAY_S = 86_400;

const isoDay = (seconds: number) => new Date(seconds * 1000).toISOString().slice(0, 10);

/** The rows as lines over time. Screen readers get the same numbers from the table below. */
export function Chart({ rows }: { rows: readonly Row[] }) {
  const element = useRef<HTMLDivElement>(null);
  const scheme = useComputedColorScheme("light");
  // biome-ignore lint/correctness/useExhaustiveDependencies: the colours are read from CSS variables, which depend on the scheme
  useEffect(() => {
    const parent = element.current;
    if (!parent) return;
    const plot = new uPlot(optionsFor(parent), dataOf(rows), parent);
    const resized = new ResizeObserver(() => plot.setSize({ width: parent.clientWidth, height: HEIGHT_PX }));
    resized.observe(parent);
    return () => {
      resized.disconnect();
      plot.destroy();
    };
  }, [rows, scheme]);
  return (
    <div ref={element} role="img" aria-label="Chart of events per day, with the numbers of the table below" />
  );
}

function dataOf(rows: readonly Row[]): uPlot.AlignedData {
  const times = rows.map(({ day }) => Date.parse(`${day}T00:00:00Z`) / 1000);
  return [times, ...SERIES.map((_, index) => rows.map(({ counts }) => counts[index] ?? 0))];
}

function optionsFor(parent: HTMLElement): uPlot.Options {
  const style = getComputedStyle(parent);
  const color = (variable: string) => style.getPropertyValue(variable).trim();
  const grid = { stroke: color("--mantine-color-default-border"), width: 1 };
  const axis = { stroke: color("--mantine-color-text"), grid, ticks: grid };
  return {
    width: parent.clientWidth,
    height: HEIGHT_PX,
    // Days are counted in UTC, whatever the time zone of the browser.
    tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "UTC"),
    scales: { y: { range: (_, _min, max) => [0, Math.max(max, 4)] } },
    axes: [
      {
        ...axis,
        incrs: [1, 2, 7, 14, 30, 60].map((days) => days * DAY_S),
        space: 70,
        values: (_, splits) => splits.map((seconds) => isoDay(seconds).slice(5)),
      },
      { ...axis, incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 5000, 10_000, 100_000] },
    ],
    series: [
      { value: (_, seconds) => (seconds ? isoDay(seconds) : "–"), label: "Day" },
      ...SERIES.map(({ label, color: variable }) => ({
        label,
        stroke: color(variable),
        width: 2,
        points: { show: true, size: 5, fill: color(variable) },
      })),
    ],
  };
}
