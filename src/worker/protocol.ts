/** Messages between a replica's Worker and the thread that started it. */
import type { Cluster } from "../config-types.js";
import type { ReplicaEvent } from "../data/events.js";
import type { DataDirectory } from "../data/local-replica.js";
import type { ErrorCode } from "../errors.js";
import type { ReplicaReport } from "../status.js";
import type { WaitStrategy } from "../wait.js";

/** Marks the Worker's data, so that the module does nothing when it is loaded elsewhere. */
export const WorkerMark = "squall-replica";

export interface ReplicaWorkerData {
  mark: typeof WorkerMark;
  cluster: Cluster;
  id: number;
  machineUrl: string;
  debug: boolean;
  wait: WaitStrategy;
  /** Over the SharedArrayBuffer through which the starting thread reads progress without asking. */
  words: Float64Array;
  directory: DataDirectory | undefined;
  bindingPath: string | undefined;
}

export type ToWorker = { type: "report" | "digest"; call: number } | { type: "close" };

export interface PlainError {
  code: ErrorCode;
  message: string;
  stack: string | undefined;
}

export type FromWorker =
  | { type: "ready"; address: { ip: string; port: number } }
  | { type: "failed"; error: PlainError }
  | { type: "event"; event: ReplicaEvent }
  | { type: "answer"; call: number; value: ReplicaReport | { executed: number; digest: string } }
  | { type: "refusal"; call: number; error: PlainError };
