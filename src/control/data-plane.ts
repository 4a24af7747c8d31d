import type { FetchedRecord, FetchReplyMessage } from "./messages.js";
import type { RecoveryCode } from "./recovery.js";
import type { Snapshot } from "./snapshot.js";

/** Records of consecutive seqnos, and the summary hash (32 bytes) of the entry before the first of them. */
export interface HashRun {
  previous: Uint8Array;
  records: FetchedRecord[];
}

/** What the control plane asks of the data plane: few verbs, all synchronous. The native engine and the tests implement it. */
export interface DataPlane {
  /** undefined: this replica belongs to no life yet. */
  readonly lifeId: Uint8Array | undefined;
  readonly view: number;
  readonly lastNormalView: number; // v_l
  readonly status: number; // ReplicaStatus
  readonly mode: number;
  readonly logEnd: number;
  readonly committed: number;
  /** FAST views: up to here the log is the leader's (docs/protocols.md). Elsewhere the committed seqno. */
  readonly accepted: number;
  /** The log's end that outlasts a crash as far as it is to: below logEnd while durability `sync` waits for the disk. */
  readonly durableEnd: number;
  /** How long the disk takes that promises wait for; 0: they wait for none. */
  readonly diskDelayUs: number;
  /** As durableEnd, of the view. */
  readonly viewDurable: boolean;
  /** Entries at or below it are gone. */
  readonly logBase: number;
  /** Entries that the log has room for. */
  readonly logEntries: number;
  /** Share of the log's room that is taken, of entries or of bytes, whichever is more: 0 to 1. */
  readonly logFill: number;
  /** The machine has failed, and nothing is executed until all agree that the operation is at fault. */
  readonly halted: boolean;
  /** How late the host's last timer came. */
  readonly loopDelayUs: number;
  hashAt(seqno: number): Uint8Array; // 32 bytes; zeros at 0; of logBase and above
  /** 48 bytes an entry for [from, to]: summary hash 32, session 8, request number 8. */
  suffixRows(from: number, to: number): Uint8Array;
  record(seqno: number): Uint8Array;
  viewOf(seqno: number): number;
  summaryHash(previous: Uint8Array, record: Uint8Array): Uint8Array;
  /** The version of frames to the other replicas. */
  speak(version: number): void;
  freeze(view: number): void;
  /** Rolls the machine back above keepTo, then installs (see NativeReplicaEngine.install). */
  install(view: number, mode: number, keepTo: number, records: Uint8Array[]): void;
  /**
   * Installs the snapshot's state and behind it `records`, in one step: RECONCILIATION only. False: the snapshot does not fit its
   * session table or the machine, and the replica has failed.
   */
  installSnapshot(view: number, mode: number, snapshot: Snapshot, records: Uint8Array[]): boolean;
  /**
   * The snapshot takes the place of log and state: in RECOVERY, or NORMAL in a LEADER view with logEnd <= its seqno. False as above.
   */
  restore(snapshot: Snapshot): boolean;
  /** RECOVERY: takes the life that was learned. False: another status. */
  setLife(lifeId: Uint8Array): boolean;
  /** RECOVERY: whether requests are of use here, or should not even come. Who enters a view hears them again. */
  hearRequests(wanted: boolean): void;
  /** Committed entries from `from` to `to`, about `maxBytes` of them: see NativeReplicaEngine.committedRun. */
  committedRun(from: number, to: number, maxBytes: number, room: Uint8Array): Uint8Array;
  /**
   * RECOVERY: appends a run of committed entries that begins behind the log's end, executes and commits them. `hashes`: their summary
   * hashes, 32 bytes each, if they are known. How many were left out, since the log has no room for them; -1: it does not fit.
   */
  appendRun(run: Uint8Array, hashes: Uint8Array | undefined): number;
  /**
   * Whether the summary hashes of these records, which a message from replica `from` brought, are computed on another thread;
   * ControlPlane.onHashed tells when all `chained` are set. False: too few bytes for that, or too much is under way.
   */
  hashLater(from: number, message: FetchReplyMessage, runs: readonly HashRun[]): boolean;
  /** Whether the snapshot has its digest; undefined: ControlPlane.onVerified will tell. */
  verify(snapshot: Snapshot): boolean | undefined;
  /** Forgets entries up to here, all of them committed and executed. */
  truncate(seqno: number): void;
  /** Commits, with the machine's commit upcall. */
  commitTo(seqno: number): void;
  /**
   * LEADER and FAST views, at the leader: tells a backup (-1: all) the committed seqno and the log's end; one that lacks entries says so and is
   * sent them.
   */
  prepareAgain(to: number): void;
  /** LEADER and FAST views, at the leader: PrepareStats.Columns numbers a replica. */
  prepareStats(): ArrayLike<number>;
  answer(fromSeqno: number, toSeqno: number): void;
  send(to: number, type: number, body: Uint8Array): void; // to: replica index, -1: all others
  /** A broken invariant: the replica stops loudly. */
  fail(message: string): void;
  /** For operators. */
  event(event: ControlEvent): void;
  count(counter: ControlCounter): void;
}

export type ControlCounter = "reconciliations" | "syncs" | "modeSwitches";

export type ControlEvent =
  /** The own state at a checkpoint is not that of these replicas, and no f+1 agree on another. */
  | { type: "state-differs"; seqno: number; peers: number[] }
  /** The own state at a checkpoint is not that of f+1 others: the replica fails. */
  | { type: "diverged"; seqno: number; message: string }
  /** A recovery has got so far. */
  | { type: "recovery-progress"; code: RecoveryCode; reason: string }
  /** It has ended: the replica takes part again, as this incarnation. */
  | { type: "recovered"; incarnation: number };
