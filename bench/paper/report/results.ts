/** Runs of an experiment put together by their key: medians over the rounds. */
import { median } from "../../statistics.js";
import { type ExperimentName, keyText, type RecordFile, type Run, type RunKey, type RunValues } from "../record.js";
import type { Line } from "./line-chart.js";
import { bySide } from "./protocols.js";

export type ValueName = keyof RunValues;

export interface Point {
  key: RunKey;
  protocol: string;
  /** In the order of the rounds. */
  runs: Run[];
}

/** What was measured of an experiment, in the order of the protocols and then of the file; empty where it did not run. */
export function pointsOf(record: RecordFile, experiment: ExperimentName): Point[] {
  const points = new Map<string, Point>();
  for (const run of record.runs) {
    if (run.experiment !== experiment) continue;
    const text = keyText(run.key);
    const point = points.get(text) ?? { key: run.key, protocol: run.key.protocol, runs: [] };
    point.runs.push(run);
    points.set(text, point);
  }
  const all = [...points.values()];
  for (const point of all) point.runs.sort((a, b) => a.round - b.round);
  return all.sort(bySide);
}

/** The finite ones: a result may lack a value, and a run without an operation has none. */
export function valuesOf(point: Point, name: ValueName): number[] {
  return point.runs.map((run) => run.values[name]).filter((value) => Number.isFinite(value)) as number[];
}

export function medianOf(point: Point | undefined, name: ValueName): number | undefined {
  const values = point === undefined ? [] : valuesOf(point, name);
  return values.length === 0 ? undefined : median(values);
}

/** The sides of an experiment that have points, each with its own, in ascending order of `field`. */
export function seriesOf(points: readonly Point[], field: Exclude<keyof RunKey, "protocol">): Map<string, Point[]> {
  const series = new Map<string, Point[]>();
  for (const point of points) series.set(point.protocol, [...(series.get(point.protocol) ?? []), point]);
  for (const line of series.values()) line.sort((a, b) => Number(a.key[field]) - Number(b.key[field]));
  return series;
}

/** A line for each side: the medians of `y`, with the least and the highest round, against `field` or what `x` gives. */
export function linesOf(
  points: readonly Point[],
  field: Exclude<keyof RunKey, "protocol">,
  y: ValueName,
  x: (point: Point) => number | undefined = (point) => Number(point.key[field]),
): Line[] {
  return [...seriesOf(points, field)].map(([side, line]) => ({
    side,
    points: line.map((point) => {
      const values = valuesOf(point, y);
      return { x: x(point) ?? Number.NaN, y: medianOf(point, y) ?? Number.NaN, least: Math.min(...values), most: Math.max(...values) };
    }),
  }));
}

export function highest(points: readonly Point[], name: ValueName): Point | undefined {
  return points.reduce<Point | undefined>(
    (best, point) => ((medianOf(point, name) ?? 0) > (medianOf(best, name) ?? 0) ? point : best),
    undefined,
  );
}
