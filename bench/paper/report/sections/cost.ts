/** Where the processor time goes: CPU time, context switches and bytes per operation of each process. */
import { median } from "../../../statistics.js";
import type { ProcessRecord, RecordFile } from "../../record.js";
import { barChart } from "../bar-chart.js";
import { count } from "../format.js";
import { type Html, html } from "../html.js";
import { look } from "../protocols.js";
import { type Point, pointsOf, seriesOf } from "../results.js";
import { collapsed, missing, table } from "../table.js";

/** Of one process at one point: medians over the rounds, per operation. */
interface Cost {
  role: string;
  cpuUs: number;
  userUs: number;
  systemUs: number;
  voluntary: number;
  involuntary: number;
  sent: number | undefined;
  received: number | undefined;
}

export async function costSection(record: RecordFile): Promise<Html> {
  const points = pointsOf(record, "figure8").filter((point) => point.runs.some((run) => (run.processes?.length ?? 0) > 0));
  if (points.length === 0) return missing("CPU time, context switches and bytes per operation", "figure8");
  const parts = [...byPacking(points)].map(([packing, own]) => ({ packing, busy: atMostClients(own) }));
  const charts = parts.map(({ packing, busy }) =>
    barChart({
      id: `cost-${packing ? "packed" : "unpacked"}`,
      title: `Packing ${packing ? "on" : "off"}: each replica, all clients (pale)`,
      description: busy.map((point) => `${look(point.protocol).name}: ${describe(costsOf(point))}`).join("; "),
      axis: "µs of CPU time per operation",
      rows: busy.map((point) => ({ side: point.protocol, bars: barsOf(costsOf(point)) })),
    }),
  );
  const clients = Math.max(...parts.flatMap(({ busy }) => busy.map((point) => point.key.clients ?? 0)));
  return html`<p>By the operating system’s accounting (user and system time of each process), at ${count(clients)} clients, the most of Figure 8. The busiest replica is the one that limits a group on separate machines.</p>
<div class="pair">${await Promise.all(charts)}</div>
${busiest(parts)}
${parts.map(({ packing, busy }) => raw(busy, packing))}`;
}

function byPacking(points: readonly Point[]): Map<boolean, Point[]> {
  const all = [false, true].map((packing) => [packing, points.filter((point) => (point.key.packing ?? false) === packing)] as const);
  return new Map(all.filter(([, own]) => own.length > 0));
}

function atMostClients(points: readonly Point[]): Point[] {
  return [...seriesOf(points, "clients").values()].map((line) => line.at(-1)!);
}

function costsOf(point: Point): Cost[] {
  const roles = new Map<string, { process: ProcessRecord; operations: number }[]>();
  for (const run of point.runs)
    for (const process of run.processes ?? []) {
      const operations = run.values.operations ?? 0;
      if (operations > 0) roles.set(process.role, [...(roles.get(process.role) ?? []), { process, operations }]);
    }
  return [...roles].map(([role, records]) => {
    const per = (name: keyof ProcessRecord) => {
      const values = records.map(({ process, operations }) => Number(process[name]) / operations).filter(Number.isFinite);
      return values.length === 0 ? undefined : median(values);
    };
    return {
      role,
      cpuUs: median(records.map(({ process }) => process.cpuUsPerOp)),
      userUs: per("userUs") ?? 0,
      systemUs: per("systemUs") ?? 0,
      voluntary: per("contextSwitchesVoluntary") ?? 0,
      involuntary: per("contextSwitchesInvoluntary") ?? 0,
      sent: per("bytesSent"),
      received: per("bytesReceived"),
    };
  });
}

function barsOf(costs: readonly Cost[]) {
  const replicas = costs.filter(({ role }) => !role.startsWith("client"));
  const clients = costs.filter(({ role }) => role.startsWith("client"));
  const bars = replicas.map(({ cpuUs }) => ({ value: cpuUs, text: count(cpuUs), faint: false }));
  const sum = clients.reduce((total, { cpuUs }) => total + cpuUs, 0);
  return clients.length === 0 ? bars : [...bars, { value: sum, text: count(sum), faint: true }];
}

function describe(costs: readonly Cost[]): string {
  return costs.map(({ role, cpuUs }) => `${role} ${count(cpuUs)}`).join(", ");
}

const figures = [
  { head: "CPU", unit: "µs" },
  { head: "user", unit: "µs" },
  { head: "system", unit: "µs" },
  { head: "Switches, voluntary" },
  { head: "involuntary" },
  { head: "Sent", unit: "bytes" },
  { head: "Received", unit: "bytes" },
];

function figuresOf({ cpuUs, userUs, systemUs, voluntary, involuntary, sent, received }: Cost): string[] {
  return [cpuUs, userUs, systemUs, voluntary, involuntary, sent, received].map(count);
}

function busiest(parts: readonly { packing: boolean; busy: Point[] }[]): Html {
  const rows = parts.flatMap(({ packing, busy }) =>
    busy.flatMap((point) => {
      const replicas = costsOf(point).filter(({ role }) => role.startsWith("replica"));
      const most = replicas.sort((a, b) => b.cpuUs - a.cpuUs)[0];
      return most === undefined ? [] : [[look(point.protocol).name, packing ? "on" : "off", most.role, ...figuresOf(most)]];
    }),
  );
  return table(
    "The busiest replica process: per operation, medians over the rounds; context switches by kind, bytes of UDP payload",
    [{ head: "Protocol", kind: "text" }, { head: "Packing", kind: "text" }, { head: "Process", kind: "text" }, ...figures],
    rows,
  );
}

function raw(points: readonly Point[], packing: boolean): Html {
  const rows = points.flatMap((point) => costsOf(point).map((cost) => [look(point.protocol).name, cost.role, ...figuresOf(cost)]));
  const title = `Every process, packing ${packing ? "on" : "off"}`;
  return collapsed(
    title,
    table(
      `${title}: per operation, medians over the rounds; bytes are the payload of UDP`,
      [{ head: "Protocol", kind: "text" }, { head: "Process", kind: "text" }, ...figures],
      rows,
    ),
  );
}
