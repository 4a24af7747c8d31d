/** One line for each side, its name at its end; whiskers from the least to the highest round. */
import { type ChartText, type Frame, figure, type UnitSpec } from "./chart.js";
import type { Html } from "./html.js";
import { type Label, spread } from "./labels.js";
import { look } from "./protocols.js";
import { pixelsOf, type Scale, scaleOf } from "./scales.js";

export interface LinePoint {
  x: number;
  y: number;
  /** Of the rounds. */
  least: number;
  most: number;
}

export interface Line {
  side: string;
  points: LinePoint[];
}

export interface Axis {
  title: string;
  scale: "linear" | "log";
  /** These values have a tick each, evenly spaced as a category would be. */
  categories?: { value: number; text: string }[];
}

export interface LineChart extends ChartText {
  x: Axis;
  y: Axis;
  lines: Line[];
}

const margins = { left: 54, right: 96, top: 30, bottom: 46 };
const heights = { wide: 300, narrow: 250 };
/** Thousands as k on a linear axis, digits in groups on a logarithmic one. */
const labels = { linear: "datum.value === 0 ? '0' : format(datum.value, '~s')", log: "format(datum.value, ',~r')" };
const mostTicks = { x: { wide: 7, narrow: 4 }, y: { linear: 6, log: 10 } };

/** Undefined where there is no point to draw. */
export function lineChart(chart: LineChart): Promise<Html> | undefined {
  const drawable = (axis: Axis, value: number) => Number.isFinite(value) && (axis.scale === "linear" || value > 0);
  const inside = (point: LinePoint) => drawable(chart.x, point.x) && [point.y, point.least, point.most].every((y) => drawable(chart.y, y));
  const lines = chart.lines.map((line) => ({ ...line, points: line.points.filter(inside) })).filter((line) => line.points.length > 0);
  if (lines.length === 0) return undefined;
  return figure(chart, margins, heights, (frame) => layersOf({ ...chart, lines }, frame));
}

function layersOf({ x, y, lines }: LineChart, frame: Frame): UnitSpec[] {
  const place = positions(x);
  const points = lines.flatMap((line) => line.points);
  const xScale =
    x.categories === undefined
      ? scaleOf(
          x.scale,
          points.map((point) => point.x),
          frame.wide ? mostTicks.x.wide : mostTicks.x.narrow,
        )
      : evenly(x.categories.length);
  const yScale = scaleOf(
    y.scale,
    points.flatMap((point) => [point.least, point.most]),
    mostTicks.y[y.scale],
  );
  const [xPx, yPx] = [pixelsOf(xScale, 0, frame.width), pixelsOf(yScale, frame.height, 0)];

  const rows = lines.flatMap(({ side, points }) => {
    const { color, shape } = look(side);
    return points.map((point) => ({ ...point, x: place(point.x), side, color, shape }));
  });
  const ends = lines.map(({ side, points }): Label => {
    const end = points.at(-1)!;
    return { text: look(side).label, color: look(side).color, x: xPx(place(end.x)), y: yPx(end.y) };
  });
  const encoding = { x: position("x", x, xScale), y: position("y", y, yScale), color: raw("color") };
  return [
    {
      data: { values: rows },
      mark: { type: "rule", opacity: 0.45, strokeWidth: 1.5 },
      encoding: { ...encoding, y: { ...encoding.y, field: "least" }, y2: { field: "most" } },
    },
    {
      data: { values: rows },
      mark: { type: "line", strokeWidth: 2, strokeJoin: "round" },
      encoding: { ...encoding, detail: { field: "side" }, order: { value: null } },
    },
    {
      data: { values: rows },
      mark: { type: "point", filled: true, opacity: 1, size: 42 },
      encoding: { ...encoding, shape: raw("shape") },
    },
    {
      data: { values: spread(ends, frame.height) },
      mark: { type: "text", align: "left", baseline: "middle", dx: 8 },
      encoding: { x: raw("x"), y: raw("y"), text: { field: "text", type: "nominal" }, color: raw("color") },
    },
  ];
}

/** Drawn as it stands: no scale, no legend. */
function raw(field: string): UnitSpec {
  const pixels = field === "x" || field === "y";
  return { field, type: pixels ? "quantitative" : "nominal", scale: null, legend: pixels ? undefined : null };
}

function position(field: "x" | "y", axis: Axis, scale: Scale): UnitSpec {
  const names = axis.categories?.map(({ text }) => text);
  return {
    field,
    type: "quantitative",
    scale: { type: scale.type, domain: scale.domain, nice: false, ...(scale.type === "linear" ? { zero: false } : {}) },
    axis: {
      title: axis.title,
      ...(field === "y" ? { titleX: -margins.left + 4 } : {}),
      values: scale.ticks,
      labelExpr: names === undefined ? labels[axis.scale] : `${JSON.stringify(names)}[datum.value]`,
    },
  };
}

/** The place of a value on an axis: itself, or the number of its category. */
function positions({ categories }: Axis): (value: number) => number {
  return categories === undefined ? (value) => value : (value) => categories.findIndex((category) => category.value === value);
}

function evenly(count: number): Scale {
  return { type: "linear", domain: [0, Math.max(1, count - 1)], ticks: Array.from({ length: count }, (_, index) => index) };
}
