/**
 * The native addon as TypeScript sees it. The contract of the boundary:
 *  - counters live in a SharedArrayBuffer of doubles (`StatusWord`, one writer per word);
 *  - operations, results and control bodies lie in ordinary ArrayBuffers owned by the loop's own thread;
 *  - one upcall per batch; rows of u32/f64 describe what lies in the arena.
 */

import type { WaitStrategy } from "../wait.js";
import type { ClientEngineOptions, ClientUpcalls, NativeClientEngine } from "./client-binding.js";
import type { NativeCaptureFabric, NativeLoopHub, NativeUdpFabric } from "./fabric-binding.js";

export type { ClientEngineOptions, ClientUpcalls, NativeClientEngine } from "./client-binding.js";
export { ClientRow, ClientState, ClientWord, CompletionKind, Consistency, RequestFlag } from "./client-binding.js";
export type { LoopPath, NativeCaptureFabric, NativeLoopHub, NativeUdpFabric } from "./fabric-binding.js";

/** Columns of the shared status table (Float64, index = value). All are written by the native engine unless noted. */
export const StatusWord = {
  View: 0, // current view; never falls
  LastNormalView: 1, // v_l; never above View
  Status: 2, // ReplicaStatus
  Mode: 3,
  LogEnd: 4, // highest seqno; may fall at an install
  Executed: 5, // never above LogEnd
  Committed: 6, // never falls, never above LogEnd
  LogBytes: 7,
  Sessions: 8,
  Halted: 9, // 1 while the machine has thrown and execution stands still at Executed
  Appended: 10, // counters from here: entries ever appended from the multicast or, at a LEADER view's backup, from PREPAREs
  RolledBack: 11, // entries ever rolled back
  Duplicates: 12, // requests answered from the session table
  RepliesSent: 13,
  Buffered: 14, // requests waiting for the end of a reconciliation
  Refused: 15, // requests refused because the log is full
  FramesReceived: 16,
  FramesSent: 17,
  Batches: 18,
  LoopDelayUs: 19, // written by the host: how late the last timer came
  Reconciliations: 20, // written by the control plane: reconciliations installed
  SyncsSent: 21, // written by the control plane
  Complaints: 22,
  LogBase: 23, // entries at or below it are gone; never falls, never above the last but one checkpoint
  CheckpointDue: 24, // lowest seqno in the log at which a checkpoint must be taken and was not; 0: none
  Durable: 25, // log on disk up to here, as that of this view; never above LogEnd; written by the host unless durability is sync
  Prepares: 26, // PREPAREs sent
  Forwards: 27, // requests forwarded to the leader of a LEADER view
  Reads: 28, // reads answered
  Incarnation: 29, // written by the host
  Checkpoint: 30, // written by the host: seqno of the last checkpoint
  ModeSwitches: 31, // written by the control plane
  DropBase: 32, // + DropReason
  Accepted: 60, // of a FAST view: the log is the leader's up to here; elsewhere Committed; never above LogEnd
  ClassicRounds: 61, // FAST views, at the leader: rounds that settled what votes did not
  StorageFailed: 63, // written by the host: 1 once a write to the data directory has failed
  Count: 64,
} as const;

export const dropReasons = [
  "none",
  "truncated",
  "oversized",
  "badVersion",
  "foreignGroup",
  "unknownType",
  "wrongDestination",
  "wrongRole",
  "badTag",
  "replayed",
  "badBody",
  "fragmentLimit",
  "streamLimit",
  "bufferFull",
  "clockSkew",
  "window",
  "unknownSession",
  "status",
] as const;

export const ReplicaStatus = { Recovery: 0, Normal: 1, Reconciliation: 2, Closed: 3 } as const;
export type ReplicaStatus = (typeof ReplicaStatus)[keyof typeof ReplicaStatus];
export const Mode = { Speculative: 0, Leader: 1, Fast: 2 } as const;
export type Mode = (typeof Mode)[keyof typeof Mode];

/** Wire types (native/wire/types.h). */
export const MessageType = {
  Hello: 1,
  Request: 2,
  StatusRequest: 3,
  Read: 4,
  Welcome: 16,
  Reply: 17,
  StatusReply: 18,
  Reject: 19,
  ReadReply: 20,
  Members: 21,
  Sync: 32,
  SyncReply: 33,
  Commit: 34,
  StartReconciliation: 35,
  Reconcile: 36,
  StartView: 37,
  StartViewRequest: 38,
  InView: 39,
  Fetch: 40,
  FetchReply: 41,
  Fault: 42,
  Recovering: 43,
  Prepare: 44,
  PrepareOk: 45,
  Forward: 46,
  Heartbeat: 47,
  BootstrapPrepare: 48,
  BootstrapCommit: 49,
  Blank: 50,
  Bootstrapped: 51,
  RecoveryQuery: 52,
  RecoveryAnswer: 53,
  FetchSnapshot: 54,
  SnapshotChunk: 55,
  NewEpoch: 56,
  FastPrepare: 59,
  FastVote: 60,
  FetchEpochState: 61,
  EpochState: 62,
  Reconfigure: 57,
  ReconfigureAnswer: 58,
  NewLife: 63,
} as const;
export type MessageType = (typeof MessageType)[keyof typeof MessageType];

/** An address of any fabric: "ip" and port, or `{ loop: port }` in the simulator. */
export type NativeAddress = { ip: string; port: number } | { loop: number };

/**
 * Guards that only a test build can switch off (`binding.mutations` is true there); the published binary ignores the mask.
 * The simulator must notice each absence.
 */
export const Guard = {
  MatchView: 1 << 0, // the client's match covers the view
  MatchHash: 1 << 1, // ... and the hash
  SuperQuorum: 1 << 2, // the client waits for a superquorum, not a majority
  HashOperation: 1 << 3, // the summary hash covers the operation's bytes
  SessionDedupe: 1 << 4, // duplicates are decided from the session table at execution
  FreezeLog: 1 << 5, // no appends outside NORMAL
  PrepareGaps: 1 << 6, // LEADER views: backups append PREPAREs of that view without gaps only
  PrepareQuorum: 1 << 7, // LEADER views: f+1 PREPARE-OKs commit; FAST views: a superquorum of votes, not a majority
  ReplyDurable: 1 << 23, // durability sync: a client is answered once the entry is on disk
  PrepareOkDurable: 1 << 24, // ... and PREPARE-OK (in FAST views FAST-VOTE) covers what is on disk
  ReadAtEnd: 1 << 26, // reads are answered at the log's end, not at the committed point
  ReadQuorum: 1 << 27, // reads in SPECULATIVE views need a superquorum
  ClosingView: 1 << 28, // nothing is appended in a view whose log ends with the reconfiguration
  // control plane (TypeScript) guards
  LastNormalView: 1 << 8, // v_l is its own variable, not the view of the last entry
  CommitAcrossViews: 1 << 9, // COMMIT(v) only if v <= v_l
  MergeThreshold: 1 << 10, // floor(k/2)+1 of K (off: a majority of all logs received)
  MergeHighestViews: 1 << 11, // only the logs with the highest v_l are merged
  MergeOnce: 1 << 12, // a leader merges once per view and resends the identical START-VIEW
  InstallOnce: 1 << 13, // START-VIEW(v) is ignored while NORMAL in v
  CompleteReconcile: 1 << 14, // a RECONCILE counts only with all its operations
  CommitHash: 1 << 15, // SYNC-REPLYs commit only when their hashes are equal
  CommittedPrefix: 1 << 16, // the merge starts with the longest committed (of FAST views: accepted) prefix of K
  MergeThresholdConstant: 1 << 17, // (off: the constant ceil(f/2)+1 instead of floor(k/2)+1)
  MergeMode: 1 << 18, // the merge follows the mode of v_l, not that of the new view
  RecoveryMask: 1 << 19, // a recovering replica installs only a START-VIEW whose mask lacks it and whose minimum of cv[itself] is its incarnation
  RecoverySilence: 1 << 20, // ... and until then sends nothing that counts (off: the naive recovery, which copies a NORMAL replica's log)
  QuorumIncarnations: 1 << 21, // a RECONCILE older than a crash that the quorum knows of does not count
  AdoptVector: 1 << 22, // every installer adopts the maximum of the crash vectors
  ControlDurable: 1 << 25, // durability sync: a control frame leaves once what it promises is on disk
  // guards of epochs (TypeScript)
  OldMembersServe: 1 << 29, // who is no member any more stays until f'+1 members of the next epoch have the state
  JoinWithState: 1 << 30, // who joins takes part only once it has the state that the epoch began with
} as const;

export interface ReplicaEngineOptions {
  fabric: NativeUdpFabric | NativeLoopHub | NativeCaptureFabric;
  /** Under the loop: the port made for this replica. */
  loopPort?: number;
  group: Uint8Array; // 8 bytes
  replica: number;
  replicas: NativeAddress[]; // unicast addresses by index; own address is bound
  multicast?: { group: NativeAddress; interface?: string };
  secret: Uint8Array; // 32 bytes
  sealed: boolean;
  datagramBytes: number;
  /** Default true. Without it acknowledgements and votes are one each. Of the fabric too: all its engines send unpacked once one wants it. */
  packing?: boolean;
  maxOperationBytes: number;
  window: number; // 1..1024, of each session
  maxSessions: number;
  logEntries: number;
  logBytes: number;
  maxClockSkewMs: number;
  /** Entries between checkpoints; 0: the machine has no snapshots, nothing is truncated, and the log fills up. */
  checkpointEvery: number;
  /** Most operations of one PREPARE; with 1 every operation has its own. */
  prepareBatch: number;
  /** Frames of later versions are dropped. */
  newestWireVersion: number;
  /** Mode of view 0. */
  mode: Mode;
  /** DurabilityLevel; default Memory. */
  durability?: number;
  status: Float64Array; // over a SharedArrayBuffer, StatusWord.Count words
  rows: Uint32Array; // ReplicaRow, capacity rows.length / ReplicaRow.Stride
  arena: Uint8Array; // operations of one upcall, then results
  results: Uint8Array;
  /** Not under the loop; default "block". The most eager of a thread's engines decides. */
  wait?: WaitStrategy;
  guardsOff?: number; // test builds only
}

/**
 * `onExecute(count)`: rows [0, count) to execute in order. Each row, u32 words:
 *   0,1 seqno (lo, hi)   2 offset of the operation in the arena   3 its length   4,5 logical time in us (lo, hi)
 *   6 what to run (RowKind); written by TypeScript: 6 result status (ResultStatus)   7 result length; results lie back to back in `results`.
 * Returns how many rows were executed (fewer: results full or machine halted; the native side asks again or waits).
 */
export const ReplicaRow = {
  SeqnoLo: 0,
  SeqnoHi: 1,
  Offset: 2,
  Length: 3,
  TimeLo: 4,
  TimeHi: 5,
  Status: 6,
  ResultLength: 7,
  Stride: 8,
} as const;

/** Columns of `prepareStats()`. The counts start at 0 with the view and wrap at 2^32. */
export const PrepareStats = {
  Acked: 0, // log end acknowledged in this view; the own row: log end
  Compared: 1, // requests that had arrived at the replica when a PREPARE fixed their place
  Inverted: 2, // of those, how many had arrived before the one compared just before
  Absent: 3, // requests that had not arrived when a PREPARE brought them
  HeardUs: 4, // nowUs() at its last PREPARE-OK of this view; 0: none yet
  Columns: 5,
} as const;

/** How much of a replica outlasts its process: ReplicaEngineOptions.durability. */
export const DurabilityLevel = { Memory: 0, Async: 1, Sync: 2 } as const;

/** What a row asks of the machine: speculativelyExecute or query. */
export const RowKind = { Execute: 0, Query: 1 } as const;

/** Per-operation status in replies. */
export const ResultStatus = {
  Ok: 0,
  MachineThrew: 1,
  LogFull: 2,
  UnknownSession: 3,
  Stale: 4,
  PredecessorMissing: 5,
  RanOverSize: 6,
  QueryUnsupported: 7,
} as const;

export interface ReplicaUpcalls {
  onExecute(count: number): number;
  /** The same for reads outside the log (RowKind.Query, seqno: the log's end): returns how many were run. */
  onQuery(count: number): number;
  /**
   * A control frame. `from` is a replica index; for client and operator frames `stream` names whom to answer. `body` is valid during the call.
   * PREPARE (and FAST-PREPARE) comes up cut to its view (8 bytes, at most once a batch) if this replica is not NORMAL in that view and it is not an older one;
   * PREPARE-OK comes up whole if it contradicts the leader's log, which is a broken invariant; so does FAST-VOTE,
   * and FAST-PREPARE if it contradicts what was accepted.
   */
  onControl(type: number, from: number, stream: number, body: Uint8Array): void;
  /** A client complains about an operation that is in the log as speculative at `seqno` (0: not in the log). */
  onComplaint(session: number, seqno: number): void;
  /** After a batch, while the log has entries that exportRows() has not given; not with DurabilityLevel.Memory. */
  onAppended(): void;
  /** After a batch that appended (see setProgressAt), and when the timer set by setTimer has come. */
  onTick(nowUs: number): void;
}

export interface NativeReplicaEngine {
  nowUs(): number;
  setTimer(atUs: number): void;
  /** The version of frames to the other replicas; at first the oldest. */
  speak(version: number): void;
  /** onTick after a batch that appended comes only once the log has this seqno (0: after each); a timer's always comes. */
  setProgressAt(seqno: number): void;
  /** Enters NORMAL in view 0 of this life. Only from RECOVERY with an empty log. */
  bootstrap(lifeId: Uint8Array): void;
  lifeId(): Uint8Array | undefined;
  /** View := view, status := RECONCILIATION; the log stands still; requests are buffered. */
  freeze(view: number): void;
  /**
   * Installs the log [own 1..keepTo] + records in one step: rolls back the session table above keepTo (the caller has made the
   * machine's rollback upcall), view := v_l := view, status := NORMAL, executes what is new, answers the clients of all uncommitted
   * entries, then takes the buffered requests. `hashes`: the records' summary hashes, 32 bytes each, if they are verified already.
   */
  install(view: number, mode: number, keepTo: number, records: Uint8Array[], hashes?: Uint8Array): void;
  /** In a LEADER view the leader answers what becomes committed by it and was executed. */
  commitTo(seqno: number): void;
  /**
   * The leader of a LEADER view tells backups its committed seqno and finds out who lacks entries: they say so, and what they lack is
   * sent again at once. `to`: replica index, -1: all. Returns a bit mask of the replicas that need entries below the log's base.
   * 0 and without effect unless this replica leads such a view and is NORMAL in it.
   */
  prepareAgain(to: number): number;
  /** PrepareStats.Columns numbers a replica, of this view; at the leader of a LEADER view from PREPARE-OKs, elsewhere only the own row counts. */
  prepareStats(): Float64Array;
  /** Answers the clients of these entries with their present state (view, seqno, hash, committed or not). */
  answer(fromSeqno: number, toSeqno: number): void;
  // Of the log's entries, those above LogBase exist; the verbs below throw a TypeError for others. hashAt and position know LogBase too.
  hashAt(seqno: number): Uint8Array; // 32 bytes; zeros at 0
  /** What restore() needs of a seqno: summary hash 32, cumulative bytes u64, logical time in us u64. */
  position(seqno: number): Uint8Array;
  /** 48 bytes an entry for [from, to]: summary hash 32, session 8, request number 8. */
  suffixRows(from: number, to: number): Uint8Array;
  record(seqno: number): Uint8Array; // the request's inner bytes, as hashed
  /** The operation of an entry that was executed by the machine; undefined for entries that were no-ops. */
  executedOperation(seqno: number): Uint8Array | undefined;
  viewOf(seqno: number): number; // view in which the entry was appended here; 0 if it is not in the log
  /**
   * The session table as of `seqno` (LogBase < seqno <= Committed and Executed). Its first 32 bytes are a digest that is equal at all
   * replicas; the rest holds replies too, of which a replica may have lost some. Undefined when the table of `seqno` is no longer
   * known: sessions evicted since then are freed, which for the seqno of CheckpointDue happens only under a storm of registrations.
   */
  checkpointSessions(seqno: number): Uint8Array | undefined;
  /** A checkpoint at `seqno` was taken: CheckpointDue names the next. */
  checkpointed(seqno: number): void;
  /**
   * Forgets the entries up to `seqno`; duplicates of their requests are still answered. Throws above Committed or Executed. Takes time
   * for each session's window: once a checkpoint, not more often. Execution that waited for room in the log goes on.
   */
  truncate(seqno: number): void;
  /**
   * The committed state at `seqno` takes the place of log and session table: LogBase = LogEnd = Executed = Committed = seqno. The
   * caller restores the machine. In RECOVERY, in RECONCILIATION, or NORMAL in a LEADER view with LogEnd <= seqno. False and unchanged:
   * another status, a seqno below Committed, or malformed bytes.
   */
  restore(seqno: number, position: Uint8Array, sessions: Uint8Array): boolean;
  /**
   * Committed entries from `from` to `to`, as many as `maxBytes` hold and at least one: the summary hash of the last (32 bytes), then for each
   * the length of its record (uint32) and the record. In `room`, if that is large enough.
   */
  committedRun(from: number, to: number, maxBytes: number, room?: Uint8Array): Uint8Array;
  /**
   * Appends such a run, which begins behind the log's end, executes it and commits up to there, in RECOVERY or NORMAL in a LEADER view. How
   * many entries were left out: the log is full, or the machine stands still. -1: malformed, or it has another
   * summary hash, and nothing was done. `hashes` as in install().
   */
  appendRun(run: Uint8Array, hashes?: Uint8Array): number;
  /**
   * DurabilityLevel.Sync: view and log up to `seqno` are on disk, and that it is a FAST view's leader's up to `accepted`; sends what waited
   * for that. Not from within an upcall.
   */
  setDurable(seqno: number, accepted: number): void;
  /** The entries from `from` on that fit `into`: length of the rest 4, summary hash 32, record. `counts`: how many, and their bytes. */
  exportRows(from: number, into: Uint8Array, counts: Uint32Array): void;
  /** What exportRows() gave above this seqno was displaced since this was last asked; undefined: nothing was. FAST views only. */
  takeDisplaced(): number | undefined;
  /**
   * RECOVERY with a life: what was read from disk, uncommitted; executed, if v_l is a FAST view up to `accepted`. `mode`: that of v_l. False:
   * malformed, or no room.
   */
  appendLoaded(records: Uint8Array[], mode: number, accepted: number): boolean;
  /** From RECOVERY to RECONCILIATION, with what was on disk. */
  resume(view: number, lastNormalView: number, mode: number): boolean;
  /** The machine, which the caller has rolled back to from - 1, executes [from, to] again. False: a result is not what it was. */
  reexecute(from: number, to: number): boolean;
  /** A replica in RECOVERY takes the life id that it has learned; it stays in RECOVERY. */
  setLife(lifeId: Uint8Array): boolean;
  /** RECOVERY: whether to listen to the multicast group, where there is one. Who enters a view listens again. */
  hearRequests(wanted: boolean): void;
  /**
   * Enters RECOVERY in a later epoch of this life, with log and sessions as they are: from now on this replica is index `replica` of
   * `replicas`. Frames of the former epoch neither leave nor enter. False and unchanged: closed, an upcall runs, or no later epoch.
   */
  reconfigure(configuration: { life: Uint8Array; epoch: number; replica: number; replicas: NativeAddress[] }): boolean;
  /**
   * NORMAL in an epoch's first view, from RECOVERY. CheckpointDue becomes LogEnd, clients of live sessions are told the members;
   * requests that were buffered are taken by the next flush(). False and unchanged: Executed, Committed and LogEnd differ.
   */
  beginEpoch(view: number, mode: number): boolean;
  /** To whatever replica listens at `to`; only types that are sealed outside a life. */
  sendToAddress(to: { to: NativeAddress }, type: number, body: Uint8Array): void;
  send(to: number, type: number, body: Uint8Array): void; // to: replica index, -1: all others
  sendToStream(stream: number, type: number, body: Uint8Array): void;
  setHalted(halted: boolean): void; // false: execution goes on behind `Executed`
  sessionDigest(): Uint8Array;
  flush(): void;
  /** The explorer: the state as bytes, and back to it; equal bytes are equal states. Throws while a read waits, or once the log was truncated. */
  save(): Uint8Array;
  load(state: Uint8Array): void;
  address(): NativeAddress;
  counters(): Record<string, number>; // of the fabric endpoint; receiveBufferBytes: what the system granted
  close(): void;
}

/** A tool's channel to replicas: status (as a client) and bootstrap (as an operator). Fire and receive; retries are the caller's. */
export interface NativeToolEngine {
  /** to: replica index, -1: all of them by way of `target`. */
  send(to: number, type: number, body: Uint8Array): void;
  /** To the address of `to`, whatever index the replica there has by now. */
  ask(to: number, type: number, body: Uint8Array): void;
  close(): void;
}
export interface ToolEngineOptions {
  fabric: NativeUdpFabric | NativeLoopHub;
  loopPort?: number;
  group: Uint8Array;
  role: "client" | "operator";
  id: Uint8Array;
  key: Uint8Array; // client key, or the cluster secret for an operator
  replicas: NativeAddress[];
  /** The multicast group or the relay. */
  target?: NativeAddress;
  multicastInterface?: string;
  sealed: boolean;
  datagramBytes: number;
}

export interface NativeRelay {
  setTargets(to: { targets: NativeAddress[] }): void;
  counters(): Record<string, number>;
  close(): void;
}

export interface NativeBinding {
  readonly version: string;
  readonly mutations: boolean;
  readonly path: string;
  UdpFabric: new () => NativeUdpFabric;
  LoopHub: new (seedLo: number, seedHi: number) => NativeLoopHub;
  CaptureFabric: new () => NativeCaptureFabric;
  ReplicaEngine: new (options: ReplicaEngineOptions, upcalls: ReplicaUpcalls) => NativeReplicaEngine;
  ClientEngine: new (options: ClientEngineOptions, upcalls: ClientUpcalls) => NativeClientEngine;
  ToolEngine: new (options: ToolEngineOptions, onMessage: (type: number, from: number, body: Uint8Array) => void) => NativeToolEngine;
  Relay: new (options: {
    fabric: NativeUdpFabric;
    bind: NativeAddress;
    targets: NativeAddress[];
    multicastInterface?: string;
    datagramBytes: number;
    packing?: boolean;
  }) => NativeRelay;
  sha256(...parts: Uint8Array[]): Uint8Array;
  summaryHash(previous: Uint8Array, record: Uint8Array): Uint8Array;
  clientKey(secret: Uint8Array, clientId: Uint8Array): Uint8Array;
  /** The micro bench's kernels, nanoseconds an iteration. */
  micro(name: string, iterations: number, bytes: number): number;
  /** Takes the lock of an open file, until it is closed or the process ends. 0, or the errno: EBUSY, somebody else has it. */
  lockFile(fd: number): number;
}
