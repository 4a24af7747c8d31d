/** Asks the replicas of a cluster how they are. */
import { type ClusterSource, loadCluster } from "./config.js";
import { MessageType } from "./data/binding.js";
import { openTool } from "./data/tool.js";
import { checkInteger, checkOptions } from "./options.js";
import type { ReplicaReport } from "./status.js";

export interface StatusOptions {
  cluster: ClusterSource;
  /** Until answers are waited for; default 1,000 ms. */
  deadlineMs?: number;
  /** Asks for the state digests too. */
  digest?: boolean;
  clientKey?: string | URL | { cluster: string; id: string; key: string };
}

/** The report of each replica by index; undefined for those that did not answer in time. Rejects with what loadCluster rejects with. */
export async function status(options: StatusOptions): Promise<(ReplicaReport | undefined)[]> {
  checkOptions("status", options, ["cluster", "deadlineMs", "digest", "clientKey"]);
  const deadlineMs = options.deadlineMs === undefined ? 1_000 : checkInteger("deadlineMs", options.deadlineMs, 1, 3_600_000);
  const cluster = await loadCluster(options.cluster, {
    role: "client",
    ...(options.clientKey === undefined ? {} : { clientKey: options.clientKey }),
  });
  const n = cluster.replicas.length;
  const reports: (ReplicaReport | undefined)[] = new Array<undefined>(n).fill(undefined);
  const tool = openTool(cluster, "client", (type, from, body) => {
    if (type !== MessageType.StatusReply || from < 0 || from >= n) return;
    try {
      reports[from] = JSON.parse(Buffer.from(body).toString("utf8")) as ReplicaReport;
    } catch {
      // Sealed by a replica, yet no report: another version. It counts as no answer.
    }
  });
  try {
    const question = Uint8Array.of(options.digest === true ? 1 : 0);
    await tool.run(deadlineMs, (due) => {
      for (let replica = 0; due && replica < n; replica++) {
        if (reports[replica] === undefined) tool.send(replica, MessageType.StatusRequest, question);
      }
      return reports.every((report) => report !== undefined);
    });
  } finally {
    tool.close();
  }
  return reports;
}
