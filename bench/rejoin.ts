import { type Cluster, status } from "squall";
import { nowMs } from "./clock.js";

const pollMs = 20;
const statusDeadlineMs = 300;
/** A replica that is further behind would have to fetch first when the next one is stopped and it is needed for a quorum. */
const closeEntries = 2_000;

/** The replica that leads the highest view that anybody reports. */
export async function leaderOf(cluster: Cluster): Promise<number> {
  const views = (await status({ cluster, deadlineMs: statusDeadlineMs })).map((report) => report?.view ?? 0);
  return Math.max(...views) % cluster.replicas.length;
}

/** Waits until replica `id` is NORMAL and close behind the group, as an operator does before the next one. How long that took, or undefined at the limit. */
export async function rejoined(cluster: Cluster, id: number, limitMs: number): Promise<number | undefined> {
  const startMs = nowMs();
  let goal: number | undefined;
  while (nowMs() - startMs < limitMs) {
    const reports = await status({ cluster, deadlineMs: statusDeadlineMs });
    const committed = Math.max(0, ...reports.map((report) => report?.committed ?? 0));
    goal ??= committed;
    const report = reports[id];
    if (report?.status === "normal" && report.committed >= Math.max(goal, committed - closeEntries)) return nowMs() - startMs;
    await new Promise((resolve) => setTimeout(resolve, pollMs));
  }
  return undefined;
}
