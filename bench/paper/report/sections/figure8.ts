/** The paper's Figure 8: latency against throughput as the number of closed-loop clients grows, packing off and on. */
import type { RecordFile } from "../../record.js";
import { count, ratio } from "../format.js";
import { type Html, html } from "../html.js";
import { lineChart } from "../line-chart.js";
import { paperBatchingLatencyRatio, paperOf, paperRatio } from "../paper-figures.js";
import { look } from "../protocols.js";
import { highest, linesOf, medianOf, type Point, pointsOf, seriesOf } from "../results.js";
import { collapsed, missing, table } from "../table.js";

const latencies = [
  { name: "p50Us", title: "Median", axis: "median latency, µs" },
  { name: "p99Us", title: "99th percentile", axis: "99th percentile of latency, µs" },
] as const;

export async function figure8Section(record: RecordFile): Promise<Html> {
  const points = pointsOf(record, "figure8");
  if (points.length === 0) return missing("latency against throughput (Figure 8)", "figure8");
  const parts = await Promise.all([false, true].map((packing) => part(points, packing)));
  return html`<p>Each line goes through 2 to 300 clients, each a session with one operation outstanding, in at least four processes. All processes share this machine’s cores, so the throughput here is limited by the CPU time of all of them; <a href="#capacity">capacity</a> shows what the busiest replica alone would allow. Whiskers reach from the least to the highest round.</p>
${peaks(points)}
${parts}
${raw(points)}`;
}

async function part(all: readonly Point[], packing: boolean): Promise<Html> {
  const points = all.filter((point) => point.key.packing === packing);
  const name = packing ? "packing on" : "packing off, as in the paper";
  if (points.length === 0) return html`<p class="missing"><strong>Not measured:</strong> ${name}.</p>`;
  const charts = latencies.map((latency) =>
    lineChart({
      id: `figure8-${latency.name === "p50Us" ? "p50" : "p99"}-${packing ? "packed" : "unpacked"}`,
      title: `${latency.title} against throughput, ${name}`,
      description: `For each protocol the latency at the throughput that 2 to 300 clients get, ${name}. ${summaryOf(points, latency.name)}`,
      x: { title: "operations per second, all clients", scale: "linear" },
      y: { title: latency.axis, scale: "log" },
      lines: linesOf(points, "clients", latency.name, (point) => medianOf(point, "opsPerSecond")),
    }),
  );
  return html`<div class="pair">${await Promise.all(charts)}</div>`;
}

function summaryOf(points: readonly Point[], latency: "p50Us" | "p99Us"): string {
  return [...seriesOf(points, "clients")]
    .map(([side, line]) => {
      const peak = highest(line, "opsPerSecond");
      return peak === undefined
        ? ""
        : `${look(side).name}: at most ${count(medianOf(peak, "opsPerSecond"))} per second, at ${count(medianOf(peak, latency))} microseconds.`;
    })
    .join(" ");
}

function peaks(points: readonly Point[]): Html {
  const peakIn = (side: string, packing: boolean) =>
    highest(
      points.filter((point) => point.protocol === side && point.key.packing === packing),
      "opsPerSecond",
    );
  const rows = [...seriesOf(points, "clients").keys()].map((side) => {
    const said = paperOf(side)?.opsPerSecond;
    return [
      look(side).name,
      ...[false, true].flatMap((packing) => {
        const peak = peakIn(side, packing);
        return [
          count(medianOf(peak, "opsPerSecond")),
          ratio(medianOf(peak, "opsPerSecond"), medianOf(peakIn("paxos", packing), "opsPerSecond")),
        ];
      }),
      said === undefined ? undefined : `~${count(said)}`,
      paperRatio(side),
    ];
  });
  return table(
    `Highest throughput. The paper adds that at 90,000 per second Paxos with batching has ${paperBatchingLatencyRatio} times the latency of Speculative Paxos`,
    [
      { head: "Protocol", kind: "text" },
      { head: "packing off", unit: "op/s" },
      { head: "/ Paxos’s" },
      { head: "packing on", unit: "op/s" },
      { head: "/ Paxos’s" },
      { head: "paper", unit: "op/s", paper: true },
      { head: "/ Paxos’s", paper: true },
    ],
    rows,
  );
}

function raw(points: readonly Point[]): Html {
  const names = ["opsPerSecond", "p50Us", "p99Us", "p999Us", "cpuUsPerOp", "capacityOpsPerSecond"] as const;
  const rows = points.map((point) => [
    look(point.protocol).name,
    point.key.packing === true ? "on" : "off",
    count(point.key.clients),
    ...names.map((name) => count(medianOf(point, name))),
    count(point.runs.length),
  ]);
  return collapsed(
    "All points",
    table(
      "Medians over the rounds",
      [
        { head: "Protocol", kind: "text" },
        { head: "Packing", kind: "text" },
        { head: "Clients" },
        { head: "Throughput", unit: "op/s" },
        { head: "p50", unit: "µs" },
        { head: "p99", unit: "µs" },
        { head: "p99.9", unit: "µs" },
        { head: "CPU, all", unit: "µs/op" },
        { head: "Capacity", unit: "op/s" },
        { head: "Rounds" },
      ],
      rows,
    ),
  );
}
