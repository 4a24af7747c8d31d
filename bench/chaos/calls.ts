/** What the run and its processes say to each other (see children.ts). */
import type { ReplicaReport } from "squall";

export interface ClientStart {
  cluster: string;
  /** Index among the clients. */
  client: number;
  seed: number;
  opsPerSecond: number;
  /** Room for so many operations; a client that has used it up falls silent. */
  capacity: number;
}

/** What one client saw, in columns by operation number; times are those of the machine's monotonic clock, in us. */
export interface ClientHistory {
  kind: Uint8Array;
  object: Uint16Array;
  argument: Int32Array;
  expected: Int32Array;
  result: Int32Array;
  invokedAt: Float64Array;
  /** Infinity where no result came. */
  respondedAt: Float64Array;
  /** Seqno that came with the result. */
  seqno: Float64Array;
  /** 1 where the client was told that the operation is not executed. */
  refused: Uint8Array;
  /** Operations that were still under way when the client was asked to finish and had waited. */
  unanswered: number;
  /** Operations that failed, by error code. */
  failures: Record<string, number>;
  /** What no client may see. */
  wrong: string[];
}

export interface ObserverStart {
  cluster: string;
}

export type StatusAnswer = (ReplicaReport | undefined)[];

export interface ExecutionsAnswer {
  /** Operations that the machine executed a second time. */
  twice: number;
  /** By client, by operation number: the seqno at which it was executed, 0 for none. */
  seqnos: Uint32Array[];
}
