import { table, thousands } from "../../dist/cli/output.js";
import { round } from "../statistics.js";
import type { ChaosReport } from "./run.js";

/** The report as one flat object, for `--json`. */
export function summary(report: ChaosReport): Record<string, unknown> {
  const { judgement, timeline, ...rest } = report;
  const { linearizable, violations: _, longestGapMs, p50Ms, p99Ms, ...counts } = judgement;
  return {
    ...rest,
    ...counts,
    longestGapMs: round(longestGapMs),
    p50Ms: round(p50Ms, 3),
    p99Ms: round(p99Ms, 3),
    linearizable: linearizable.linearizable,
    searched: linearizable.searched,
    ok: report.violations.length === 0,
    timeline,
  };
}

export function print(report: ChaosReport): void {
  const { judgement } = report;
  const list = (record: Record<string, number>) =>
    Object.entries(record)
      .map(([name, count]) => `${name} ${count}`)
      .join(", ") || "none";
  const rows: string[][] = [
    ["seed", String(report.seed)],
    ["network", `${report.network}, ${report.replicas} replicas, ${report.clients} clients, ${report.seconds} s`],
    ["faults", list(report.faults) + (report.skippedKills > 0 ? `; ${report.skippedKills} kills left out` : "")],
    ["operations", `${thousands(judgement.operations)}, ${thousands(judgement.acknowledged)} acknowledged`],
    ["unknown outcome", `${thousands(judgement.unknown)}, ${thousands(judgement.unknownExecuted)} of them executed`],
    ["failures", list(report.failures)],
    ["time of an operation", `median ${round(judgement.p50Ms, 2)} ms, 99% below ${round(judgement.p99Ms, 1)} ms`],
    ["longest time without a result", `${round(judgement.longestGapMs)} ms`],
    ["views", `${report.view}; ${report.reconciliations} reconciliations, ${thousands(report.rolledBack)} entries rolled back`],
    ["lost", String(judgement.lost)],
    ["executed twice", String(judgement.duplicated)],
    ["linearizable", judgement.linearizable.linearizable ? "yes" : "NO"],
    ["converged", report.convergedAfterMs === undefined ? "NO" : `${report.convergedAfterMs} ms after the last fault, equal digests`],
  ];
  console.log(table(["chaos", ""], rows));
  for (const what of report.violations) console.log(`WRONG: ${what}`);
  if (report.violations.length > 0) console.log(`The plan again: the same options with --seed ${report.seed}`);
}
