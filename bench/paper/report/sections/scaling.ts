/** How throughput and latency change with the number of replicas, the size of operations, client processes and operations outstanding. */
import type { ExperimentName, RecordFile, RunKey } from "../../record.js";
import { bytes, count } from "../format.js";
import { type Html, html } from "../html.js";
import { type Axis, lineChart } from "../line-chart.js";
import { look } from "../protocols.js";
import { linesOf, medianOf, type Point, pointsOf } from "../results.js";
import { collapsed, missing, table } from "../table.js";

interface Dimension {
  experiment: ExperimentName;
  field: Exclude<keyof RunKey, "protocol">;
  title: string;
  axis: string;
  name: (value: number) => string;
}

const dimensions: Dimension[] = [
  { experiment: "replicas", field: "replicas", title: "Replicas", axis: "replicas", name: count },
  { experiment: "sizes", field: "bytes", title: "Size of operations", axis: "size of an operation", name: bytes },
  { experiment: "processes", field: "processes", title: "Client processes", axis: "client processes", name: count },
  {
    experiment: "outstanding",
    field: "outstanding",
    title: "Operations outstanding",
    axis: "operations outstanding in one client process",
    name: count,
  },
];

export async function scalingSection(record: RecordFile): Promise<Html> {
  const parts: Html[] = [];
  for (const dimension of dimensions) parts.push(await part(record, dimension));
  return html`${parts}`;
}

async function part(record: RecordFile, dimension: Dimension): Promise<Html> {
  const { experiment, field, title } = dimension;
  const points = pointsOf(record, experiment).filter((point) => point.key[field] !== undefined);
  const head = html`<h3 id="scaling-${experiment}">${title}</h3>`;
  if (points.length === 0) return html`${head}${missing(`scaling with ${title.toLowerCase()}`, experiment)}`;
  const values = [...new Set(points.map((point) => Number(point.key[field])))].sort((a, b) => a - b);
  const x: Axis = { title: dimension.axis, scale: "linear", categories: values.map((value) => ({ value, text: dimension.name(value) })) };
  const range = `from ${dimension.name(values[0]!)} to ${dimension.name(values.at(-1)!)}`;
  const charts = [
    lineChart({
      id: `scaling-${experiment}-throughput`,
      title: "Throughput",
      description: `Throughput of each protocol, ${dimension.axis} ${range}.`,
      x,
      y: { title: "operations per second", scale: "linear" },
      lines: linesOf(points, field, "opsPerSecond"),
    }),
    lineChart({
      id: `scaling-${experiment}-latency`,
      title: "Median latency",
      description: `Median latency of each protocol, ${dimension.axis} ${range}.`,
      x,
      y: { title: "median latency, µs", scale: "log" },
      lines: linesOf(points, field, "p50Us"),
    }),
  ];
  return html`${head}<div class="pair">${await Promise.all(charts)}</div>${raw(points, dimension)}`;
}

function raw(points: readonly Point[], { field, title, name }: Dimension): Html {
  const names = ["opsPerSecond", "p50Us", "p99Us", "cpuUsPerOp", "capacityOpsPerSecond"] as const;
  const rows = points.map((point) => [
    look(point.protocol).name,
    name(Number(point.key[field])),
    ...names.map((value) => count(medianOf(point, value))),
    count(point.runs.length),
  ]);
  return collapsed(
    `${title}: all points`,
    table(
      `${title}: medians over the rounds`,
      [
        { head: "Protocol", kind: "text" },
        { head: title },
        { head: "Throughput", unit: "op/s" },
        { head: "p50", unit: "µs" },
        { head: "p99", unit: "µs" },
        { head: "CPU, all", unit: "µs/op" },
        { head: "Capacity", unit: "op/s" },
        { head: "Rounds" },
      ],
      rows,
    ),
  );
}
