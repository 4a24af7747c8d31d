/** Replicas as `squall status` shows them. */
import pc from "picocolors";
import type { ReplicaRates, ReplicaReport, StatusSample } from "../index.js";
import { standstill } from "../status.js";
import { table, thousands } from "./output.js";

type Watched = ReplicaReport & { rates?: ReplicaRates };

interface Column {
  title: string;
  /** Columns of a higher rank go first where the terminal is narrow. */
  rank: number;
  cell(report: Watched, group: Group): string;
}

/** What a replica is compared with. */
interface Group {
  leader: number;
  committed: number;
}

const rate = (pick: (rates: ReplicaRates) => number) => (report: Watched) =>
  report.rates === undefined ? "" : perSecond(pick(report.rates));

const columns: Column[] = [
  { title: "replica", rank: 0, cell: ({ id }, { leader }) => (id === leader ? `${id} leads` : String(id)) },
  { title: "status", rank: 0, cell: (report) => (report.halted ? `${report.status}, halted` : report.status) },
  { title: "view", rank: 1, cell: ({ view }) => String(view) },
  { title: "mode", rank: 2, cell: ({ mode }) => mode },
  { title: "committed", rank: 0, cell: ({ committed }) => thousands(committed) },
  { title: "speculative", rank: 3, cell: ({ speculative, committed }) => `+${thousands(speculative - committed)}` },
  { title: "behind", rank: 2, cell: ({ committed }, group) => thousands(Math.max(0, group.committed - committed)) },
  { title: "on disk", rank: 3, cell: ({ durability, durable }) => (durability === "memory" ? "" : thousands(durable)) },
  { title: "log from", rank: 6, cell: ({ logBase }) => thousands(logBase + 1) },
  { title: "checkpoint", rank: 7, cell: ({ checkpoint }) => (checkpoint === 0 ? "" : thousands(checkpoint)) },
  { title: "ops/s", rank: 0, cell: rate(({ committed }) => committed) },
  { title: "reads/s", rank: 8, cell: rate(({ reads }) => reads) },
  { title: "reconc./s", rank: 4, cell: rate(({ reconciliations }) => reconciliations) },
  { title: "rolled back/s", rank: 4, cell: rate(({ rolledBack }) => rolledBack) },
  { title: "switches", rank: 9, cell: ({ counters }) => thousands(counters.modeSwitches) },
  { title: "drops/s", rank: 3, cell: rate(({ dropped }) => sum(dropped)) },
  { title: "sessions", rank: 8, cell: ({ counters }) => thousands(counters.sessions) },
  { title: "loop ms", rank: 5, cell: ({ counters }) => (counters.loopDelayUs / 1000).toFixed(1) },
];

const gap = 2;

/** A table no wider than `width` (columns of less weight are left out), and below it what needs attention. */
export function describeSample(sample: StatusSample, width: number): string {
  const reports = sample.replicas;
  const known = reports.filter((report) => report !== undefined);
  const newest = known.reduce<Watched | undefined>(
    (best, report) => (best === undefined || report.view > best.view ? report : best),
    undefined,
  );
  const group: Group = { leader: newest?.leader ?? -1, committed: Math.max(0, ...known.map(({ committed }) => committed)) };
  const cellsOf = (report: Watched | undefined, id: number): string[] =>
    columns.map(({ cell }, index) => (report === undefined ? ([String(id), "no answer"][index] ?? "") : cell(report, group)));
  const rows = reports.map(cellsOf);
  const widths = columns.map(({ title }, column) => Math.max(title.length, ...rows.map((row) => row[column]!.length)));
  const shown = fitting(widths, width);
  const pick = (cells: string[]): string[] => shown.map((column) => cells[column]!);
  const time = new Date(sample.timeMs).toISOString().replace("T", " ").slice(0, 19);
  const notes = [...notesOf(reports), ...known.flatMap(dropNotes)];
  return [pc.dim(`${time} UTC`), table(pick(columns.map(({ title }) => title)), rows.map(pick)), ...notes].join("\n");
}

/** Indices of the columns that fit into `width`, the weightiest kept. */
function fitting(widths: number[], width: number): number[] {
  let shown = widths.map((_, column) => column);
  const total = (): number => shown.reduce((all, column) => all + widths[column]! + gap, -gap);
  for (let rank = Math.max(...columns.map((column) => column.rank)); rank > 0 && total() > width; rank--) {
    shown = shown.filter((column) => columns[column]!.rank !== rank);
  }
  return shown;
}

/** What an operator should know beyond the numbers. */
export function notesOf(reports: (ReplicaReport | undefined)[]): string[] {
  const known = reports.filter((report) => report !== undefined);
  if (known.length === 0) return [pc.yellow("no replica answers: `squall doctor` looks for the reason")];
  const stopped = standstill(reports);
  if (stopped === undefined && known.every(({ status, lifeId }) => status === "recovery" && lifeId === undefined)) {
    return [pc.yellow("no replica has a life: once all are up, `squall bootstrap` begins one, with empty state")];
  }
  const group = stopped === undefined ? [] : [pc.red(stopped)];
  const own = reports.flatMap((report) => {
    if (report === undefined) return [];
    const { id, status, reason, silent, failure, broken, halted, storageFailure, durability } = report;
    return [
      ...(status === "recovery" ? [pc.yellow(`replica ${id} is in recovery${reason === "" ? "" : `: ${reason}`}`)] : []),
      ...(status === "reconciliation" ? [pc.yellow(`replica ${id} reconciles${reason === "" ? "" : `: ${reason}`}`)] : []),
      ...(silent.length === 0 ? [] : [pc.yellow(`replica ${id} does not hear replica ${silent.join(", ")}`)]),
      ...(halted && failure !== undefined
        ? [pc.red(`replica ${id} stands still: ${failure.upcall} at ${failure.seqno}: ${failure.message}`)]
        : []),
      ...(storageFailure === undefined
        ? []
        : [
            pc.red(
              `replica ${id} writes nothing to its data directory${durability === "sync" ? " and acknowledges nothing" : ""}: ${storageFailure.code}: ${storageFailure.message}`,
            ),
          ]),
      ...(broken === undefined ? [] : [pc.red(`replica ${id} stopped: ${broken}`)]),
    ];
  });
  return [...group, ...own];
}

function dropNotes({ id, rates }: Watched): string[] {
  const reasons = Object.entries(rates?.dropped ?? {}).map(([reason, count]) => `${reason} ${perSecond(count)}`);
  return reasons.length === 0 ? [] : [`replica ${id} drops a second: ${reasons.join(", ")}`];
}

function perSecond(value: number): string {
  return value === 0 || value >= 10 ? thousands(value) : value.toFixed(1);
}

function sum(counts: Record<string, number>): number {
  return Object.values(counts).reduce((all, count) => all + count, 0);
}
