/**
 * Charts as SVG within the page: Vega-Lite draws each in two widths, of which the page's style shows the one that fits, so that text
 * keeps its size. Colours are variables of that style. The layout is fixed (no `autosize`), so that axes of neighbours are in line.
 */
import * as vega from "vega";
import { compile, type TopLevelSpec } from "vega-lite";
import { Html, html } from "./html.js";

export interface Frame {
  /** Of the plot itself, without its margins. */
  width: number;
  height: number;
  wide: boolean;
}

export interface Margins {
  left: number;
  right: number;
  top: number;
  bottom: number;
}

export interface ChartText {
  /** Unique in the page; of letters, digits and hyphens. */
  id: string;
  title: string;
  /** What one sees in it, for who does not. */
  description: string;
}

export type UnitSpec = Record<string, unknown>;

const wideWidth = 560;
const narrowWidth = 343;

const ink = "var(--ink)";
const soft = "var(--ink-soft)";
const rule = "var(--rule)";

const config = {
  aria: false,
  background: "transparent",
  font: "inherit",
  view: { stroke: null },
  axis: {
    domainColor: soft,
    gridColor: rule,
    labelColor: soft,
    labelFontSize: 12,
    labelPadding: 6,
    tickColor: soft,
    tickSize: 4,
    titleColor: ink,
    titleFontSize: 12,
    titleFontWeight: "normal",
  },
  axisX: { grid: false, labelFlush: false, labelOverlap: "greedy", titlePadding: 10 },
  axisY: { domain: false, ticks: false, titleAngle: 0, titleAlign: "left", titleAnchor: "end", titleBaseline: "bottom", titleY: -12 },
  text: { color: ink, font: "inherit", fontSize: 12 },
};

/** A figure of the page; `layers` gives the marks for a plot of that size. */
export async function figure(
  text: ChartText,
  margins: Margins,
  heights: { wide: number; narrow: number },
  layers: (frame: Frame) => UnitSpec[],
): Promise<Html> {
  const draw = (wide: boolean) => {
    const width = (wide ? wideWidth : narrowWidth) - margins.left - margins.right;
    const frame = { width, height: wide ? heights.wide : heights.narrow, wide };
    return render(text, margins, frame, layers(frame));
  };
  return html`<figure class="chart" id="${text.id}">
<figcaption>${text.title}</figcaption>
${await draw(true)}${await draw(false)}
</figure>`;
}

async function render(text: ChartText, margins: Margins, frame: Frame, layer: UnitSpec[]): Promise<Html> {
  const { width, height, wide } = frame;
  const spec = { width, height, padding: margins, autosize: "none", config, layer } as unknown as TopLevelSpec;
  const view = new vega.View(vega.parse(compile(spec).spec), { renderer: "none" });
  const svg = await view.toSVG();
  view.finalize();
  const size = wide ? "wide" : "narrow";
  const id = `${text.id}-${size}`;
  const head = html`<svg class="${size}" role="img" aria-labelledby="${id}-title" aria-describedby="${id}-text" viewBox="${viewBox(svg)}"><title id="${id}-title">${text.title}</title><desc id="${id}-text">${text.description}</desc>`;
  return new Html(head.text + svg.replace(/^[^>]*>/, ""));
}

function viewBox(svg: string): string {
  return /viewBox="([^"]*)"/.exec(svg)?.[1] ?? "";
}
