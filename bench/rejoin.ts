import { type Cluster, status } from "squall";
import { nowMs } from "./clock.js";

const pollMs = 20;
const statusDeadlineMs = 300;

/** The replica that leads the highest view that anybody reports. */
export async function leaderOf(cluster: Cluster): Promise<number> {
  const views = (await status({ cluster, deadlineMs: statusDeadlineMs })).map((report) => report?.view ?? 0);
  return Math.max(...views) % cluster.replicas.length;
}

/** Waits until replica `id` is NORMAL and has committed what the group had committed now. How long that took, or undefined at the limit. */
export async function rejoined(cluster: Cluster, id: number, limitMs: number): Promise<number | undefined> {
  const startMs = nowMs();
  const reports = await status({ cluster, deadlineMs: statusDeadlineMs });
  const goal = Math.max(0, ...reports.map((report) => report?.committed ?? 0));
  while (nowMs() - startMs < limitMs) {
    const report = (await status({ cluster, deadlineMs: statusDeadlineMs }))[id];
    if (report?.status === "normal" && report.committed >= goal) return nowMs() - startMs;
    await new Promise((resolve) => setTimeout(resolve, pollMs));
  }
  return undefined;
}
