/** Asks the replicas of a cluster how they are: once, or again and again. */
import { setTimeout as sleep } from "node:timers/promises";
import { type ClusterSource, loadCluster } from "./config.js";
import type { Cluster } from "./config-types.js";
import { MessageType } from "./data/binding.js";
import { openTool } from "./data/tool.js";
import { checkInteger, checkOptions, checkSignal } from "./options.js";
import { type ReplicaRates, ratesBetween } from "./rates.js";
import type { ReplicaReport } from "./status.js";

export interface StatusOptions {
  cluster: ClusterSource;
  /** Until answers are waited for; default 1,000 ms. */
  deadlineMs?: number;
  /** Asks for the state digests too. */
  digest?: boolean;
  clientKey?: string | URL | { cluster: string; id: string; key: string };
}

export interface WatchOptions {
  cluster: ClusterSource;
  /** Between two samples; default 1,000 ms. Answers are waited for at most 0.8 of it. */
  intervalMs?: number;
  /** Ends the watch. */
  signal?: AbortSignal;
  clientKey?: StatusOptions["clientKey"];
}

export interface StatusSample {
  /** When the answers were there, ms since 1970 by the clock of who asked. */
  timeMs: number;
  /** By replica index; undefined for those that did not answer in time. Rates are missing in the first sample of a process. */
  replicas: ((ReplicaReport & { rates?: ReplicaRates }) | undefined)[];
}

/** The report of each replica by index; undefined for those that did not answer in time. Rejects with what loadCluster rejects with. */
export async function status(options: StatusOptions): Promise<(ReplicaReport | undefined)[]> {
  checkOptions("status", options, ["cluster", "deadlineMs", "digest", "clientKey"]);
  const deadlineMs = options.deadlineMs === undefined ? 1_000 : checkInteger("deadlineMs", options.deadlineMs, 1, 3_600_000);
  const query = openStatusQuery(await loadAsClient(options));
  try {
    return await query.ask(deadlineMs, options.digest === true);
  } finally {
    query.close();
  }
}

/**
 * A sample of all replicas every `intervalMs`, with rates per second, until the loop over it ends or the signal says so (which ends it
 * without an error). Rejects with INVALID_OPTION, UNKNOWN_OPTION and what loadCluster rejects with.
 */
export async function* watchStatus(options: WatchOptions): AsyncGenerator<StatusSample, void, undefined> {
  checkOptions("watchStatus", options, ["cluster", "intervalMs", "signal", "clientKey"]);
  const intervalMs = options.intervalMs === undefined ? 1_000 : checkInteger("intervalMs", options.intervalMs, 50, 3_600_000);
  const signal = checkSignal(options.signal);
  const ended = (): boolean => signal?.aborted === true;
  const query = openStatusQuery(await loadAsClient(options));
  try {
    let before: (ReplicaReport | undefined)[] = [];
    while (!ended()) {
      const startedMs = performance.now();
      const reports = await query.ask(Math.max(1, intervalMs * 0.8), false, signal);
      if (ended()) return;
      const replicas = reports.map((report, id) => {
        const rates = report === undefined || before[id] === undefined ? undefined : ratesBetween(before[id], report);
        return report === undefined || rates === undefined ? report : { ...report, rates };
      });
      // One that missed a round has its next rates since its last answer.
      before = reports.map((report, id) => report ?? before[id]);
      yield { timeMs: Date.now(), replicas };
      await pause(intervalMs - (performance.now() - startedMs), signal);
    }
  } finally {
    query.close();
  }
}

interface StatusQuery {
  /** Asks all replicas; those that did not answer within `deadlineMs` are undefined. One question at a time. */
  ask(deadlineMs: number, digest: boolean, signal?: AbortSignal): Promise<(ReplicaReport | undefined)[]>;
  close(): void;
}

function openStatusQuery(cluster: Cluster): StatusQuery {
  const n = cluster.replicas.length;
  let reports: (ReplicaReport | undefined)[] = [];
  const tool = openTool(cluster, "client", (type, from, body) => {
    if (type === MessageType.StatusReply && from >= 0 && from < n) reports[from] = parseReport(body);
  });
  return {
    async ask(deadlineMs, digest, signal) {
      const question = Uint8Array.of(digest ? 1 : 0);
      const answers: (ReplicaReport | undefined)[] = new Array<undefined>(n).fill(undefined);
      reports = answers;
      const step = (due: boolean): boolean => {
        for (let replica = 0; due && replica < n; replica++) {
          if (answers[replica] === undefined) tool.send(replica, MessageType.StatusRequest, question);
        }
        return answers.every((report) => report !== undefined);
      };
      await tool.run(deadlineMs, step, signal);
      // What comes later belongs to the next question.
      reports = [];
      return answers;
    },
    close: () => tool.close(),
  };
}

/** undefined for what is no report: sealed by a replica, yet of another version. It counts as no answer. */
export function parseReport(body: Uint8Array): ReplicaReport | undefined {
  try {
    return JSON.parse(Buffer.from(body.buffer, body.byteOffset, body.length).toString("utf8")) as ReplicaReport;
  } catch {
    return undefined;
  }
}

function loadAsClient(options: { cluster: ClusterSource; clientKey?: StatusOptions["clientKey"] }): Promise<Cluster> {
  return loadCluster(options.cluster, {
    role: "client",
    ...(options.clientKey === undefined ? {} : { clientKey: options.clientKey }),
  });
}

async function pause(ms: number, signal: AbortSignal | undefined): Promise<void> {
  if (ms <= 0) return;
  try {
    await sleep(ms, undefined, signal === undefined ? {} : { signal });
  } catch {
    // Aborted: the loop ends.
  }
}
