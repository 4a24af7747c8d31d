/** What a replica says about itself, and how to ask all replicas of a cluster for it. */
import type { Durability } from "./config-types.js";
import { dropReasons, StatusWord } from "./data/binding.js";
import type { ErrorCode } from "./errors.js";

export const statusNames = ["recovery", "normal", "reconciliation", "closed"] as const;
export type StatusName = (typeof statusNames)[number];
export const modeNames = ["speculative", "leader", "fast"] as const;
export type ModeName = (typeof modeNames)[number];

/** The monotone words of a replica, read without asking it. Seqnos count log entries from 1. */
export interface ReplicaProgress {
  view: number;
  /** The last view in which the replica was NORMAL. */
  lastNormalView: number;
  status: StatusName;
  mode: ModeName;
  /** The log's end: entries up to here are speculative at least. */
  speculative: number;
  executed: number;
  committed: number;
  /** Entries at or below it are gone from the log. */
  logBase: number;
  /** Seqno of the last checkpoint; 0: none. */
  checkpoint: number;
  /** How often this replica began to live: rises with each start that lost its memory. */
  incarnation: number;
  /** The log is on disk up to here; without a data directory 0. */
  durable: number;
  /** A write to the data directory has failed: nothing goes there any more. */
  storageFailed: boolean;
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
  modeSwitches: number;
  /** PREPAREs sent, and requests forwarded to the leader: LEADER views. */
  prepares: number;
  forwards: number;
  /** Read-only operations answered. */
  reads: number;
  /** Frames and requests dropped, by reason; reasons that never happened are left out. */
  dropped: Record<string, number>;
}

/** The full report of one replica; hashes and digests in hexadecimal. */
export interface ReplicaReport extends ReplicaProgress {
  id: number;
  replicas: number;
  /** Number of the configuration, 0 at first, and its members' addresses by index. */
  epoch: number;
  members: string[];
  /** The configuration that is asked for, or that the view closes for; undefined: none. */
  nextEpoch?: number;
  /** It fetches the state that its epoch began with. */
  joining: boolean;
  /** SHA-256 over what a replica that joins must have configured like the others. */
  limitsDigest: string;
  /** Of the package. */
  version: string;
  /** Of the frames to the other replicas: the newest that all members are known to understand. */
  wireVersion: number;
  /** The replica's wall clock when it answered, ms since 1970. */
  timeMs: number;
  /** Since it was opened, by a clock that never jumps. */
  uptimeMs: number;
  /** Leader of `view`. */
  leader: number;
  /** Replicas that it does not hear. */
  silent: number[];
  /** In recovery: what it waits for. Else why it began its last reconciliation; "" before the first, or when others began it. */
  reason: string;
  /** SHA-256 over what all replicas of a cluster must have configured alike. */
  configDigest: string;
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
  durability: Durability;
  /** Why nothing goes to disk any more; under "sync" the replica acknowledges nothing then. */
  storageFailure?: { code: ErrorCode; message: string };
  /** Counters of the network endpoint; `receiveBufferBytes` is what the system granted (Linux: twice what can be used). */
  network: Record<string, number>;
}

/** The table that a replica writes and others read without asking it. */
export function newStatusWords(): Float64Array {
  return new Float64Array(new SharedArrayBuffer(StatusWord.Count * Float64Array.BYTES_PER_ELEMENT));
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
    lastNormalView: at(StatusWord.LastNormalView),
    status: statusNames[at(StatusWord.Status)] ?? "closed",
    mode: modeNames[at(StatusWord.Mode)] ?? "speculative",
    speculative: at(StatusWord.LogEnd),
    executed: at(StatusWord.Executed),
    committed: at(StatusWord.Committed),
    logBase: at(StatusWord.LogBase),
    checkpoint: at(StatusWord.Checkpoint),
    incarnation: at(StatusWord.Incarnation),
    durable: at(StatusWord.Durable),
    storageFailed: at(StatusWord.StorageFailed) === 1,
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
      modeSwitches: at(StatusWord.ModeSwitches),
      prepares: at(StatusWord.Prepares),
      forwards: at(StatusWord.Forwards),
      reads: at(StatusWord.Reads),
      dropped,
    },
  };
}

/**
 * Why the group stands still for want of replicas, and what to do; undefined as long as a majority has its memory. `reports`: by index,
 * undefined for those that did not answer.
 */
export function standstill(reports: readonly (ReplicaReport | undefined)[]): string | undefined {
  const n = reports.length;
  const known = reports.filter((report) => report !== undefined);
  const remembering = known.filter(({ status }) => status === "normal" || status === "reconciliation").length;
  const disks = known.filter(({ status, joining, committed }) => status === "recovery" && !joining && committed > 0).length;
  if (remembering === 0 && disks > 0 && 2 * known.length > n)
    return `all replicas that answer have lost their memory, and it does not go on by itself; \`squall recover\` begins a new life with what a disk kept`;
  // Without anybody who lives there is no group yet; where all answer that take part, one can be dead.
  if (remembering === 0 || 2 * remembering > n) return undefined;
  const lost = known.filter(({ status, joining }) => status === "recovery" && !joining).length;
  const silent = n - known.length;
  const advice = "if the memory of more replicas is lost for good, begin a new life with what is left: `squall recover`";
  return 2 * lost > n
    ? `${lost} of ${n} replicas have lost their memory, more than the group withstands: it does not go on by itself; \`squall recover\` begins a new life with what is left`
    : `only ${remembering} of ${n} replicas have their memory (${lost} recover, ${silent} do not answer): the group waits for a majority; ${advice}`;
}
