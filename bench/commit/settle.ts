import { type Cluster, loadCluster, type ReplicaReport, status } from "squall";
import type { Settled } from "./calls.js";

const timeoutMs = 5000;
/** Replicas compute a digest for askers at most so often. */
const digestIntervalMs = 110;

let loaded: Cluster | undefined;

/** Waits until every replica reports all of its log as committed, then compares summary hashes and state digests. */
export async function settle(file: string, sinceMs: number): Promise<Settled> {
  loaded ??= await loadCluster(file, { role: "client" });
  const cluster = loaded;
  const endMs = performance.now() + timeoutMs;
  let reports = await status({ cluster });
  while (!allCommitted(reports) && performance.now() < endMs) reports = await status({ cluster });
  const commitLagMs = performance.now() - sinceMs;
  let differences = "";
  do {
    await new Promise((resolve) => setTimeout(resolve, digestIntervalMs));
    reports = await status({ cluster, digest: true });
    differences = differencesOf(reports);
  } while (differences !== "" && performance.now() < endMs);
  const most = (pick: (report: ReplicaReport) => number) =>
    Math.max(0, ...reports.map((report) => (report === undefined ? 0 : pick(report))));
  return {
    commitLagMs,
    digestsAgree: differences === "",
    differences,
    reconciliations: most((report) => report.counters.reconciliations),
    rolledBack: most((report) => report.counters.rolledBack),
  };
}

function allCommitted(reports: readonly (ReplicaReport | undefined)[]): boolean {
  const end = reports[0]?.speculative;
  return reports.every((report) => report !== undefined && report.committed === end && report.speculative === end);
}

function differencesOf(reports: readonly (ReplicaReport | undefined)[]): string {
  const silent = reports.flatMap((report, id) => (report === undefined ? [id] : []));
  if (silent.length > 0) return `replica ${silent.join(", ")} does not answer`;
  const fields = ["speculative", "executed", "committed", "hash", "committedHash", "digest"] as const;
  const unlike = fields.filter((field) => reports.some((report) => report![field] === undefined || report![field] !== reports[0]![field]));
  if (!allCommitted(reports)) unlike.push("committed");
  return unlike.map((field) => `${field}: ${reports.map((report) => report![field]).join(" / ")}`).join("; ");
}
