/** What a benchmark and its load process say to each other (see children.ts). Times are those of clock.ts. */

export interface LoadStart {
  cluster: string;
}

export interface LoadBegin {
  /** Operations kept outstanding. */
  window: number;
  /** Room for the check of so many results; the load stops there. */
  capacity: number;
  /** Operations fail when they take longer. Default: never. */
  deadlineMs?: number;
}

export interface LoadSample {
  operations: number;
  failed: number;
  /** The load has come to its end: no room, or the session is over. */
  stopped: boolean;
}

export interface LoadResult {
  operations: number;
  failed: number;
  /** Failed operations by error code. */
  failures: Record<string, number>;
  /** Acknowledged operations that the counter's last value lacks, and executions beyond those issued. */
  lost: number;
  duplicated: number;
  /** What was wrong with results; empty when nothing was. */
  wrong: string[];
  medianMs: number;
  p99Ms: number;
  beganAtMs: number;
  endedAtMs: number;
  /** Times between two results longer than `shortestGapMs`: pairs of start and end. */
  gaps: Float64Array;
  /** Results in each stretch of `bucketMs` since `beganAtMs`. */
  buckets: Uint32Array;
}

export const bucketMs = 10;
export const shortestGapMs = 2;
