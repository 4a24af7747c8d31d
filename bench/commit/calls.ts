/** What the benchmark and its processes say to each other (see children.ts). */
import type { WaitStrategy } from "squall";

export interface ReplicaStart {
  cluster: string;
  id: number;
  /** URL of the machine's module. */
  machine: string;
  wait?: WaitStrategy;
}

/** Artificial reordering of the requests that a replica receives. */
export interface Reordering {
  /** Of a million requests, how many others pass; 0: none. */
  ppm: number;
  seed: number;
}

export interface Heap {
  usedBytes: number;
  /** Garbage collections since the process started. */
  collections: number;
}

export interface ClientStart {
  cluster: string;
  wait?: WaitStrategy;
}

export interface RelayStart {
  cluster: string;
}

export interface ClientRun {
  /** Operations kept outstanding. */
  window: number;
  seconds: number;
  /** Value of the counter before the run: results lie above it. */
  base: number;
  /** Date.now() at which the run starts, for several clients at once. */
  startAtMs: number;
}

export interface ClientResult {
  operations: number;
  opsPerSecond: number;
  p50Us: number;
  p99Us: number;
  p999Us: number;
  /** Bit i is set when the result base + 1 + i was received. */
  seen: Uint8Array;
  /** Operations whose promise was rejected, and the first reasons. */
  failed: number;
  failures: string[];
  /** What was wrong with results; empty when nothing was. */
  wrong: string[];
  /** Operations whose first replies did not agree (another order at some replica). */
  mismatches: number;
}

/** The replicas' state once all is committed. */
export interface Settled {
  /** From the last reply of this client until every replica reported all of its log as committed. */
  commitLagMs: number;
  digestsAgree: boolean;
  /** What the replicas differ in, or lack; empty when they agree. */
  differences: string;
  /** The most that any replica has counted. */
  reconciliations: number;
  rolledBack: number;
}

export type Form = "promise" | "callback" | "bare";

/** A run without checks and time stamps, which would allocate themselves. */
export interface AllocationRun {
  window: number;
  seconds: number;
  form: Form;
}

export interface AllocationResult {
  operations: number;
  heapBytes: number;
  collections: number;
}
