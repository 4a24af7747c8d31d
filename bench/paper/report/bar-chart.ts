/** Horizontal bars, one row for each side: what is measured as bars with their values, the paper's figure as a mark beside them. */
import { type ChartText, type Frame, figure, type UnitSpec } from "./chart.js";
import type { Html } from "./html.js";
import { widthPx } from "./labels.js";
import { look } from "./protocols.js";
import { scaleOf } from "./scales.js";

export interface Bar {
  value: number;
  /** At its end. */
  text: string;
  /** Weaker: the second kind of bar of a chart. */
  faint?: boolean;
}

export interface BarRow {
  side: string;
  bars: Bar[];
  /** Drawn as a line across the row. */
  paper?: { value: number; text: string };
}

export interface BarChart extends ChartText {
  axis: string;
  rows: BarRow[];
}

/** Thousands as k; small numbers as they are. */
const labels = "datum.value < 1000 ? format(datum.value, '~r') : format(datum.value, '~s')";
const barPx = 15;
const gapPx = 3;
const rowGapPx = 14;
const margins = { left: 102, right: 24, top: 6, bottom: 46 };

/** Undefined where there is no bar to draw. */
export function barChart(chart: BarChart): Promise<Html> | undefined {
  const rows = chart.rows.filter((row) => row.bars.length > 0);
  if (rows.length === 0) return undefined;
  const height = rows.reduce((sum, row) => sum + heightOf(row), 0);
  return figure(chart, margins, { wide: height, narrow: height }, (frame) => layersOf({ ...chart, rows }, frame));
}

/** The paper's mark has a line of its own, above its text. */
function heightOf({ bars, paper }: BarRow): number {
  return (bars.length + (paper === undefined ? 0 : 1)) * (barPx + gapPx) + rowGapPx;
}

function layersOf({ axis, rows }: BarChart, frame: Frame): UnitSpec[] {
  const values = rows.flatMap((row) => [...row.bars.map((bar) => bar.value), row.paper?.value ?? 0]);
  const longest = Math.max(...rows.flatMap((row) => row.bars.map((bar) => widthPx(bar.text))));
  // The highest bar leaves room for its value.
  const scale = scaleOf("linear", [Math.max(...values) / (1 - (longest + 8) / frame.width)], frame.wide ? 6 : 4);
  const bars: UnitSpec[] = [];
  const marks: UnitSpec[] = [];
  const names: UnitSpec[] = [];
  let top = 0;
  for (const row of rows) {
    const { label, color } = look(row.side);
    let y = top + rowGapPx / 2;
    names.push({ text: label, y: y + (row.bars.length * (barPx + gapPx) - gapPx) / 2 });
    for (const bar of row.bars) {
      bars.push({ ...bar, color, y, y2: y + barPx, middle: y + barPx / 2, opacity: bar.faint === true ? 0.45 : 1 });
      y += barPx + gapPx;
    }
    if (row.paper !== undefined) marks.push({ ...row.paper, y, y2: y + barPx - 2, middle: y + barPx / 2, top: top + rowGapPx / 2 });
    top += heightOf(row);
  }
  const x = {
    field: "value",
    type: "quantitative",
    scale: { domain: scale.domain, nice: false },
    axis: { title: axis, values: scale.ticks, labelExpr: labels, grid: true, titleAnchor: "start" },
  };
  const y = (field: string) => ({ field, type: "quantitative", scale: null, axis: null });
  const color = { field: "color", type: "nominal", scale: null, legend: null };
  const text = { field: "text", type: "nominal" };
  return [
    {
      data: { values: bars },
      mark: { type: "bar", cornerRadiusEnd: 2 },
      encoding: {
        x,
        x2: { datum: 0 },
        y: y("y"),
        y2: { field: "y2" },
        color,
        opacity: { field: "opacity", type: "quantitative", scale: null },
      },
    },
    {
      data: { values: marks },
      mark: { type: "rule", strokeWidth: 2, color: "var(--ink)" },
      encoding: { x, y: y("top"), y2: { field: "y2" } },
    },
    {
      data: { values: bars },
      mark: { type: "text", align: "left", baseline: "middle", dx: 5 },
      encoding: { x, y: y("middle"), text },
    },
    {
      data: { values: marks },
      mark: { type: "text", align: "left", baseline: "middle", dx: 5, fontStyle: "italic", color: "var(--ink-soft)" },
      encoding: { x, y: y("middle"), text },
    },
    {
      data: { values: names },
      mark: { type: "text", align: "right", baseline: "middle" },
      encoding: { x: { value: -8 }, y: y("y"), text },
    },
  ];
}
