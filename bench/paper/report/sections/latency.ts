/** One client with one operation outstanding: medians, tails, and what the paper says. */
import { build, decodeFromCompressedBase64, type Histogram } from "hdr-histogram-js";
import type { RecordFile } from "../../record.js";
import { barChart } from "../bar-chart.js";
import { count, ratio, times } from "../format.js";
import { type Html, html } from "../html.js";
import { type Line, lineChart } from "../line-chart.js";
import { paper, paperOf } from "../paper-figures.js";
import { look } from "../protocols.js";
import { medianOf, type Point, pointsOf } from "../results.js";
import { missing, table } from "../table.js";

export async function latencySection(record: RecordFile): Promise<Html> {
  const points = pointsOf(record, "latency");
  if (points.length === 0) return missing("latency at one client", "latency");
  const p50 = (protocol: string) =>
    medianOf(
      points.find((point) => point.protocol === protocol),
      "p50Us",
    );
  const paxos = p50("paxos");
  const bars = barChart({
    id: "latency-p50",
    title: "Median latency, one client",
    description: points.map((point) => `${look(point.protocol).name}: ${count(medianOf(point, "p50Us"))} microseconds`).join("; "),
    axis: "median latency, µs",
    rows: points.map((point) => {
      const value = medianOf(point, "p50Us");
      const said = paperOf(point.protocol)?.latencyUs;
      return {
        side: point.protocol,
        bars: value === undefined ? [] : [{ value, text: count(value) }],
        ...(said === undefined ? {} : { paper: { value: said, text: `paper ${said}` } }),
      };
    }),
  });
  const tails = lineChart({
    id: "latency-tail",
    title: "Its distribution",
    description: "Latency below which a share of the operations lies, from the median to 99.9%, a line for each protocol.",
    x: {
      title: "share of operations answered by then",
      scale: "linear",
      categories: quantiles.map(({ text }, index) => ({ value: index, text })),
    },
    y: { title: "latency, µs", scale: "log" },
    lines: points.map(distribution).filter((line) => line.points.length > 0),
  });
  const rows = points.map((point) => {
    const said = paperOf(point.protocol);
    const value = medianOf(point, "p50Us");
    return [
      look(point.protocol).name,
      count(value),
      ...(["p99Us", "p999Us", "meanUs"] as const).map((name) => count(medianOf(point, name))),
      ratio(value, paxos),
      count(said?.latencyUs),
      ratio(said?.latencyUs, paper.paxos.latencyUs),
    ];
  });
  return html`${finding(p50("speculative"), paxos, p50("fast-paxos"))}
<div class="pair">${await bars}${await tails}</div>
${table(
  "Latency of one client with one operation outstanding",
  [
    { head: "Protocol", kind: "text" },
    { head: "p50", unit: "µs" },
    { head: "p99", unit: "µs" },
    { head: "p99.9", unit: "µs" },
    { head: "mean", unit: "µs" },
    { head: "p50 / Paxos’s" },
    { head: "paper", unit: "µs", paper: true },
    { head: "paper / Paxos’s", paper: true },
  ],
  rows,
)}`;
}

function finding(speculative?: number, paxos?: number, fastPaxos?: number): Html | undefined {
  if (speculative === undefined) return undefined;
  const others = [
    paxos !== undefined && html`${times(speculative / paxos)} of Paxos’s ${count(paxos)} µs`,
    fastPaxos !== undefined && html`${times(speculative / fastPaxos)} of Fast Paxos’s ${count(fastPaxos)} µs`,
  ].filter((part) => part !== false);
  return html`<p class="finding">Speculative Paxos answers in ${count(speculative)} µs${others.length > 0 && html`: ${others[0]}${others[1] !== undefined && html` and ${others[1]}`}`}. In the paper it is 135 µs, 0.61 of Paxos’s 220 µs and 0.79 of Fast Paxos’s 171 µs, on another network and machine.</p>`;
}

/** Histograms count in nanoseconds. */
const nsPerUs = 1000;
const quantiles = [
  { percentile: 50, text: "50%" },
  { percentile: 90, text: "90%" },
  { percentile: 99, text: "99%" },
  { percentile: 99.9, text: "99.9%" },
];

/** Of all rounds together, from their histograms; without points where there are none that can be read. */
function distribution(point: Point): Line {
  const total = build({ numberOfSignificantValueDigits: 3, highestTrackableValue: Number.MAX_SAFE_INTEGER, useWebAssembly: false });
  for (const run of point.runs) addTo(total, run.histogram);
  const points =
    total.totalCount === 0 ? [] : quantiles.map(({ percentile }, x) => exactly(x, total.getValueAtPercentile(percentile) / nsPerUs));
  return { side: point.protocol, points };
}

function exactly(x: number, y: number) {
  return { x, y, least: y, most: y };
}

/** What is no histogram adds nothing. */
function addTo(total: Histogram, text: string | undefined): void {
  try {
    if (text !== undefined) total.add(decodeFromCompressedBase64(text));
  } catch {
    return;
  }
}
