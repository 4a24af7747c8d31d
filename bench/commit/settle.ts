import { type Cluster, loadCluster, type ReplicaReport, status } from "squall";
import { allCommitted, converge } from "../convergence.js";
import type { Settled } from "./calls.js";

const timeoutMs = 5000;

let loaded: Cluster | undefined;

/** Waits until every replica reports all of its log as committed, then compares summary hashes and state digests. */
export async function settle(file: string, sinceMs: number): Promise<Settled> {
  loaded ??= await loadCluster(file, { role: "client" });
  const cluster = loaded;
  const endMs = performance.now() + timeoutMs;
  let reports = await status({ cluster });
  while (!allCommitted(reports) && performance.now() < endMs) reports = await status({ cluster });
  const commitLagMs = performance.now() - sinceMs;
  const end = await converge(cluster, timeoutMs - commitLagMs);
  const most = (pick: (report: ReplicaReport) => number) =>
    Math.max(0, ...end.reports.map((report) => (report === undefined ? 0 : pick(report))));
  return {
    commitLagMs,
    digestsAgree: end.converged,
    differences: end.differences,
    reconciliations: most((report) => report.counters.reconciliations),
    rolledBack: most((report) => report.counters.rolledBack),
  };
}
