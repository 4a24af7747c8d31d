/** What the suite and its client processes say to each other (see children.ts). */
import type { Usage } from "../usage.js";

export interface ClientsStart {
  cluster: string;
}

export interface Preparation {
  sessions: number;
  /** For open runs. */
  open: boolean;
}

/** Sessions that each keep `window` operations outstanding. */
export interface ClosedRun {
  sessions: number;
  window: number;
  /** Length of an operation; at least 8. */
  bytes: number;
  seconds: number;
  /** Value of the counter before the run: results lie above it. */
  base: number;
  /** Date.now() at which the run starts, for several processes at once. */
  startAtMs: number;
}

/** Operations issued when their time comes, whatever became of those before. */
export interface OpenRun {
  /** On average: the times between them are exponentially distributed. */
  opsPerSecond: number;
  /** Operations under way and waiting in the client; what comes beyond is not offered, and counted. */
  mostOutstanding: number;
  /** Each process needs another. */
  seed: number;
  bytes: number;
  seconds: number;
  base: number;
  startAtMs: number;
}

export interface ClientOutcome {
  operations: number;
  opsPerSecond: number;
  /** Latencies in nanoseconds, from an operation's issue, or from the time it was scheduled for: HdrHistogram, compressed, base64. */
  histogram: string;
  /** Bit i is set when the result base + 1 + i was received. */
  seen: Uint8Array;
  failed: number;
  /** The first reasons. */
  failures: string[];
  /** What was wrong with results; empty when nothing was. */
  wrong: string[];
  mismatches: number;
  usage: Usage;
  /** Open runs alone: operations scheduled, those of them that the full queue kept out, and the median time from schedule to issue. */
  scheduled?: number;
  notOffered?: number;
  lateP50Us?: number;
}
