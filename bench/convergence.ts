import { type Cluster, type ReplicaReport, status } from "squall";

export type Reports = readonly (ReplicaReport | undefined)[];

/** Replicas compute a digest for askers at most so often. */
const digestIntervalMs = 110;
/** A digest is computed at once, of however large a state. */
const statusDeadlineMs = 2_000;

export interface Convergence {
  converged: boolean;
  reports: Reports;
  /** What the replicas differ in, or lack; empty when they agree. */
  differences: string;
}

/** Waits until all replicas are NORMAL, have committed and executed all of equal logs and have equal digests. */
export async function converge(cluster: Cluster, timeoutMs: number): Promise<Convergence> {
  const endMs = performance.now() + timeoutMs;
  for (;;) {
    const reports = await status({ cluster, digest: true, deadlineMs: statusDeadlineMs });
    const differences = differencesOf(reports);
    if (differences === "" || performance.now() > endMs) return { converged: differences === "", reports, differences };
    await new Promise((resolve) => setTimeout(resolve, digestIntervalMs));
  }
}

export function allCommitted(reports: Reports): boolean {
  const end = reports[0]?.speculative;
  return reports.every((report) => report !== undefined && report.committed === end && report.speculative === end);
}

/** What the replicas differ in, or lack; empty when all answer, are NORMAL and agree. */
export function differencesOf(reports: Reports): string {
  const silent = reports.flatMap((report, id) => (report === undefined ? [id] : []));
  if (silent.length > 0) return `replica ${silent.join(", ")} does not answer`;
  const answers = reports as readonly ReplicaReport[];
  const broken = answers.find((report) => report.broken !== undefined || report.failure !== undefined);
  if (broken !== undefined) return `replica ${broken.id}: ${broken.broken ?? broken.failure?.message}`;
  const elsewhere = answers.filter((report) => report.status !== "normal");
  if (elsewhere.length > 0) return elsewhere.map((report) => `replica ${report.id} is in status ${report.status}`).join("; ");
  const fields = ["speculative", "executed", "committed", "hash", "committedHash", "digest"] as const;
  const unlike = fields.filter((field) => answers.some((report) => report[field] === undefined || report[field] !== answers[0]![field]));
  const parts = unlike.map((field) => `${field}: ${answers.map((report) => report[field]).join(" / ")}`);
  if (!allCommitted(reports))
    parts.push(`committed: ${answers.map((report) => `${report.committed} of ${report.speculative}`).join(" / ")}`);
  return parts.join("; ");
}
