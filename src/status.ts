/** What a replica says about itself, and how to ask all replicas of a cluster for it. */
import { dropReasons, StatusWord } from "./data/binding.js";
import type { ErrorCode } from "./errors.js";

export const statusNames = ["recovery", "normal", "reconciliation", "closed"] as const;
export type StatusName = (typeof statusNames)[number];
export const modeNames = ["speculative", "leader"] as const;
export type ModeName = (typeof modeNames)[number];

/** The monotone words of a replica, read without asking it. Seqnos count log entries from 1. */
export interface ReplicaProgress {
  view: number;
  status: StatusName;
  mode: ModeName;
  /** The log's end: entries up to here are speculative at least. */
  speculative: number;
  executed: number;
  committed: number;
  /** True while the machine has failed and execution stands still at `executed`. */
  halted: boolean;
  counters: ReplicaCounters;
}

export interface ReplicaCounters {
  logBytes: number;
  sessions: number;
  appended: number;
  rolledBack: number;
  duplicates: number;
  repliesSent: number;
  buffered: number;
  refused: number;
  framesReceived: number;
  framesSent: number;
  batches: number;
  loopDelayUs: number;
  reconciliations: number;
  syncsSent: number;
  complaints: number;
  /** Frames and requests dropped, by reason; reasons that never happened are left out. */
  dropped: Record<string, number>;
}

/** The full report of one replica; hashes and digests in hexadecimal. */
export interface ReplicaReport extends ReplicaProgress {
  id: number;
  replicas: number;
  /** The life drawn at bootstrap; undefined while blank. */
  lifeId: string | undefined;
  bootId: string;
  /** Summary hash at `committed` and at `speculative`. */
  committedHash: string;
  hash: string;
  /** Digest of the machine's state and the session table at `executed`, where it was asked for. */
  digest?: string;
  /** Why the machine stands still. */
  failure?: { code: ErrorCode; seqno: number; upcall: string; message: string };
  /** Why the replica stopped for good. */
  broken?: string;
  /** Counters of the network endpoint. */
  network: Record<string, number>;
}

/** Decodes the shared status table. */
export function readProgress(words: Float64Array): ReplicaProgress {
  const at = (word: number): number => words[word] as number;
  const dropped: Record<string, number> = {};
  dropReasons.forEach((reason, index) => {
    const count = at(StatusWord.DropBase + index);
    if (count > 0) dropped[reason] = count;
  });
  return {
    view: at(StatusWord.View),
    status: statusNames[at(StatusWord.Status)] ?? "closed",
    mode: modeNames[at(StatusWord.Mode)] ?? "speculative",
    speculative: at(StatusWord.LogEnd),
    executed: at(StatusWord.Executed),
    committed: at(StatusWord.Committed),
    halted: at(StatusWord.Halted) === 1,
    counters: {
      logBytes: at(StatusWord.LogBytes),
      sessions: at(StatusWord.Sessions),
      appended: at(StatusWord.Appended),
      rolledBack: at(StatusWord.RolledBack),
      duplicates: at(StatusWord.Duplicates),
      repliesSent: at(StatusWord.RepliesSent),
      buffered: at(StatusWord.Buffered),
      refused: at(StatusWord.Refused),
      framesReceived: at(StatusWord.FramesReceived),
      framesSent: at(StatusWord.FramesSent),
      batches: at(StatusWord.Batches),
      loopDelayUs: at(StatusWord.LoopDelayUs),
      reconciliations: at(StatusWord.Reconciliations),
      syncsSent: at(StatusWord.SyncsSent),
      complaints: at(StatusWord.Complaints),
      dropped,
    },
  };
}
