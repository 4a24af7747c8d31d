/** Latency against offered load, with arrivals that do not wait for answers. */
import type { RecordFile } from "../../record.js";
import { count, percent } from "../format.js";
import { type Html, html } from "../html.js";
import { lineChart } from "../line-chart.js";
import { look } from "../protocols.js";
import { linesOf, medianOf, type Point, pointsOf } from "../results.js";
import { collapsed, missing, table } from "../table.js";

const latencies = [
  { name: "p50Us", title: "Median", axis: "median latency, µs" },
  { name: "p99Us", title: "99th percentile", axis: "99th percentile of latency, µs" },
] as const;

export async function openLoopSection(record: RecordFile): Promise<Html> {
  const points = pointsOf(record, "open-loop").filter((point) => point.key.offered !== undefined);
  if (points.length === 0) return missing("latency against offered load", "open-loop");
  const charts = latencies.map(({ name, title, axis }) =>
    lineChart({
      id: `open-loop-${name === "p50Us" ? "p50" : "p99"}`,
      title: `${title} against offered load`,
      description: `${title} of latency of each protocol as the offered load grows, counted from the time an operation should have been sent.`,
      x: { title: "operations per second offered", scale: "linear" },
      y: { title: axis, scale: "log" },
      lines: linesOf(points, "offered", name, (point) => medianOf(point, "targetOpsPerSecond")),
    }),
  );
  const dropped = points.filter((point) => (medianOf(point, "notOffered") ?? 0) >= 1);
  return html`<p>Operations are sent at times fixed before, whether or not others are still unanswered, and their latency counts from those times (corrected for coordinated omission); a closed loop would wait, and hide the queue.</p>
${dropped.length > 0 && html`<p class="finding">At ${count(dropped.length)} of ${count(points.length)} points the queue was full, and a part of the load could not be offered: the column “not offered” says how much. Their latency is that of what was.</p>`}
<div class="pair">${await Promise.all(charts)}</div>
${raw(points)}`;
}

function raw(points: readonly Point[]): Html {
  const names = ["targetOpsPerSecond", "scheduled", "notOffered", "lateP50Us", "p50Us", "p99Us", "p999Us", "maxUs"] as const;
  const rows = points.map((point) => [
    look(point.protocol).name,
    percent(point.key.offered!),
    ...names.map((name) => count(medianOf(point, name))),
    count(point.runs.length),
  ]);
  return collapsed(
    "All points",
    table(
      "Offered load and latency; medians over the rounds",
      [
        { head: "Protocol", kind: "text" },
        { head: "Of its peak" },
        { head: "Offered", unit: "op/s" },
        { head: "Scheduled", unit: "operations" },
        { head: "Not offered", unit: "operations" },
        { head: "Issued late by", unit: "µs, p50" },
        { head: "p50", unit: "µs" },
        { head: "p99", unit: "µs" },
        { head: "p99.9", unit: "µs" },
        { head: "max", unit: "µs" },
        { head: "Rounds" },
      ],
      rows,
    ),
  );
}
