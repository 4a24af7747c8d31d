/**
 * Keeps a replica's state and log on disk: one group commit at a time takes everything that changed since the last one. Under `sync` it
 * tells the engine and the control plane how far that is, and holds back control frames that promise more (docs/durability.md).
 */
import type { Snapshot } from "../../control/snapshot.js";
import { DurabilityLevel, Guard, MessageType, type NativeReplicaEngine, StatusWord } from "../binding.js";
import type { ReplicaStorage } from "../storage/storage.js";
import { snapshotChunks } from "./stored-snapshot.js";
import { encodeState, type StoredState } from "./stored-state.js";

/** Rows that one crossing takes, beside one of the largest operation. */
const ExportBytes = 256 * 1024;
const RowHeadBytes = 128;
/** The committed seqno is written again after so many commits: a restart executes more than it knows to be committed as speculative. */
const CommitHintEntries = 1024;
/** Where nothing waits for the disk, so often: what is known to be committed is all that a lost memory keeps. */
const CommitHintUs = 20_000;
/** Nothing was written for so long: the replica is idle. */
const IdleUs = 1_000_000;
/** What a slow group commit is remembered by, after each one that follows. */
const SlownessDecay = 0.98;
/** Control frames that wait; beyond that they are lost, as on a network, and sent again. */
const MostHeldFrames = 1024;
const MostHeldBytes = 16 * 1024 * 1024;

/** Frames by which a replica binds itself; the others tell facts, or ask. */
const promises: ReadonlySet<number> = new Set([
  MessageType.SyncReply,
  MessageType.StartReconciliation,
  MessageType.Reconcile,
  MessageType.StartView,
  MessageType.InView,
  MessageType.FetchReply,
  MessageType.RecoveryAnswer,
]);

export interface DurabilityOptions {
  level: number;
  storage: ReplicaStorage;
  engine: NativeReplicaEngine;
  words: Float64Array;
  largestOperationBytes: number;
  guardsOff: number;
  /** What is to be on disk now; undefined: the replica has no life. */
  state(): StoredState | undefined;
  /** More is on disk. */
  onDurable(): void;
  /** Nothing is written any more. */
  onFailure(error: Error): void;
  /** A checkpoint could not be written; the one before it stays. */
  onSnapshotFailure(seqno: number, error: Error): void;
}

interface Flush {
  /** The log's end in it; lowered when the log is cut meanwhile. */
  end: number;
  /** Of a FAST view's log in it: up to here it is said to be the leader's. */
  accepted: number;
  generation: number;
  number: number;
  startedUs: number;
}

interface HeldFrame {
  to: number;
  type: number;
  body: Uint8Array;
  /** Leaves when this flush is done. */
  flush: number;
}

export class Durability {
  private readonly options: DurabilityOptions;
  private readonly rows: Uint8Array;
  private readonly counts = new Uint32Array(2);
  /** Seqno of the next row that storage is given. */
  private next = 1;
  /** The log was cut behind next - 1, which storage has not been told. */
  private cut = false;
  /** Rises when another log or view takes the place of what is on disk. */
  private generation = 0;
  private durableGeneration = -1;
  private written = { key: "", committed: 0, accepted: 0, atUs: 0 };
  private flushes = 0;
  private slowestUs = 0;
  /** When the last group commit ended; undefined: there is something behind it. */
  private unmarkedUs: number | undefined;
  private inFlight: Flush | undefined;
  private held: HeldFrame[] = [];
  /** Storage was given something that no flush covers. */
  private pending = false;
  /** A snapshot that replaced the state: it goes to disk before anything else; `ready`: it lies there. */
  private installing: Snapshot | undefined;
  private ready = false;
  /** The newest checkpoint that is not on disk. */
  private checkpoint: Snapshot | undefined;
  private writingSnapshot = false;
  private begun = false;
  private changing = false;
  private failed = false;
  private closed = false;

  constructor(options: DurabilityOptions) {
    this.options = options;
    this.rows = new Uint8Array(ExportBytes + options.largestOperationBytes + RowHeadBytes);
  }

  /** Whether anything waits for the disk. */
  get waits(): boolean {
    return this.options.level === DurabilityLevel.Sync;
  }

  /** How long a group commit takes, by the slowest of late; 0: nothing waits for one. */
  get delayUs(): number {
    if (!this.waits) return 0;
    const underWayUs = this.inFlight ? this.options.engine.nowUs() - this.inFlight.startedUs : 0;
    return Math.max(this.slowestUs, underWayUs);
  }

  /** Storage has the log up to `storedEnd`, of which the replica goes on from `end`, and this state. */
  restarted(end: number, storedEnd: number, state: StoredState | undefined): void {
    this.begun = true;
    this.next = end + 1;
    this.cut = storedEnd > end;
    this.generation++;
    if (state) this.written = { key: keyOf(state), committed: state.committed, accepted: state.accepted, atUs: 0 };
  }

  /**
   * The engine's log is being replaced, within which the machine may fail and the host be woken: nothing is written before it is known
   * from where on, or new entries would go behind old ones.
   */
  replacing(): void {
    this.changing = true;
  }

  /** Another view, or another log above `keepTo`, takes the place of what is on disk. */
  replaced(keepTo: number): void {
    this.changing = false;
    this.generation++;
    this.cutBehind(keepTo);
  }

  /** A snapshot from elsewhere took the place of the log up to its seqno. */
  restored(snapshot: Snapshot): void {
    this.generation++;
    this.installing = snapshot;
    this.ready = false;
    this.checkpoint = undefined;
  }

  /** A checkpoint was taken here. */
  taken(snapshot: Snapshot): void {
    if (!this.installing) this.checkpoint = snapshot;
    this.pump();
  }

  /** The log is about to forget entries: storage takes all of them first. */
  beforeTruncation(): void {
    if (!this.installing && !this.failed && !this.closed) this.collect();
  }

  /** Whether the view that the replica is in is on disk with the log that it began with. */
  get viewDurable(): boolean {
    return !this.waits || this.durableGeneration === this.generation;
  }

  /** Another epoch: the frames that were held belong to peers that are others now. */
  entered(): void {
    this.held = [];
    this.generation++;
  }

  /** Whether the frame is kept here until what it promises is on disk. */
  holds(to: number, type: number, body: Uint8Array): boolean {
    if (!this.waits || !promises.has(type) || (this.options.guardsOff & Guard.ControlDurable) !== 0) return false;
    if (this.failed) return true;
    const flush = this.isDirty() ? this.flushes + 1 : this.inFlight?.number;
    if (flush === undefined) return false;
    const bytes = this.held.reduce((sum, frame) => sum + frame.body.length, body.length);
    if (this.held.length < MostHeldFrames && bytes <= MostHeldBytes) this.held.push({ to, type, body: new Uint8Array(body), flush });
    return true;
  }

  /** Starts a group commit, if there is anything to write and none is under way. */
  pump(): void {
    if (!this.begun || this.changing || this.inFlight || this.failed || this.closed) return;
    if (this.installing && !this.installed(this.installing)) return;
    this.collect();
    if (!this.pending) {
      this.writeCheckpoint();
      this.mark();
      return;
    }
    this.pending = false;
    const flush: Flush = {
      end: this.next - 1,
      accepted: this.written.accepted,
      generation: this.generation,
      number: ++this.flushes,
      startedUs: this.options.engine.nowUs(),
    };
    this.inFlight = flush;
    this.options.storage.flush((error) => this.flushed(flush, error));
    this.writeCheckpoint();
  }

  close(done: (error?: Error) => void): void {
    if (this.closed) return done();
    if (this.begun && !this.installing && !this.failed) this.collect();
    this.closed = true;
    this.held = [];
    this.options.storage.close(done);
  }

  /** The process dies: nothing more is written. */
  abandon(): void {
    this.closed = true;
    this.held = [];
  }

  private flushed(flush: Flush, error: Error | undefined): void {
    if (!this.closed) this.takeDisplaced(); // while it is the one in flight: what it wrote of those entries is void
    this.inFlight = undefined;
    if (this.closed) return;
    if (error) {
      this.fail(error);
      return;
    }
    const { engine, words } = this.options;
    this.slowestUs = Math.max(engine.nowUs() - flush.startedUs, this.slowestUs * SlownessDecay);
    this.unmarkedUs = engine.nowUs();
    if (flush.generation === this.generation) {
      this.durableGeneration = flush.generation;
      if (this.waits) engine.setDurable(flush.end, flush.accepted);
      else words[StatusWord.Durable] = flush.end;
    }
    this.release(flush.number);
    this.options.onDurable();
    this.pump();
  }

  /** With something behind it, damage to the last group commit is told from one that a crash cut off. */
  private mark(): void {
    if (this.unmarkedUs === undefined || this.options.engine.nowUs() - this.unmarkedUs < IdleUs) return;
    this.unmarkedUs = undefined;
    this.options.storage.mark((error) => {
      if (error && !this.closed) this.fail(error);
    });
  }

  private release(upTo: number): void {
    if (this.held.length === 0) return;
    const due = this.held.filter(({ flush }) => flush <= upTo);
    if (due.length === 0) return;
    this.held = this.held.filter(({ flush }) => flush > upTo);
    for (const { to, type, body } of due) this.options.engine.send(to, type, body);
    this.options.engine.flush();
  }

  private fail(error: Error): void {
    if (this.failed) return;
    this.failed = true;
    this.held = [];
    this.options.onFailure(error);
  }

  /** In a FAST view the leader's entries take the place of others without another log or view; what was written of those is void. */
  private takeDisplaced(): void {
    const keptTo = this.options.engine.takeDisplaced();
    if (keptTo !== undefined) this.cutBehind(keptTo);
  }

  private cutBehind(keepTo: number): void {
    if (this.inFlight) this.inFlight.end = Math.min(this.inFlight.end, keepTo);
    if (keepTo + 1 >= this.next) return;
    this.next = keepTo + 1;
    this.cut = true;
  }

  private isDirty(): boolean {
    this.takeDisplaced();
    if (this.pending || this.installing || this.cut || (this.options.words[StatusWord.LogEnd] as number) >= this.next) return true;
    const state = this.options.state();
    return state !== undefined && (keyOf(state) !== this.written.key || this.acceptedDue(state));
  }

  /** Gives storage what changed, log and state in one step: it may commit what it has at any time. */
  private collect(): void {
    this.takeDisplaced();
    const state = this.options.state();
    const key = state && keyOf(state);
    const changed = key !== undefined && key !== this.written.key;
    // A state record that names another view stands for the whole of its log.
    this.collectRows(this.cut || changed);
    if (!state || key === undefined || (!changed && !this.acceptedDue(state) && !this.hintDue(state.committed))) return;
    // Nothing is said of entries that storage had no room for yet.
    const accepted = Math.min(state.accepted, this.next - 1);
    this.options.storage.setState(encodeState({ ...state, accepted }));
    this.written = { key, committed: state.committed, accepted, atUs: this.options.engine.nowUs() };
    this.pending = true;
  }

  /** What was accepted counts as a promise as long as it is not committed. */
  private acceptedDue({ accepted, committed }: StoredState): boolean {
    return Math.min(accepted, this.next - 1) > Math.max(this.written.accepted, committed);
  }

  private hintDue(committed: number): boolean {
    const { written } = this;
    if (committed >= written.committed + CommitHintEntries) return true;
    return !this.waits && committed > written.committed && this.options.engine.nowUs() - written.atUs >= CommitHintUs;
  }

  /** `all`: even beyond storage's soft limit, for what must appear on disk in one step. */
  private collectRows(all: boolean): void {
    const { storage, engine, words } = this.options;
    if (this.cut) {
      this.cut = false;
      if (storage.end >= this.next) {
        storage.append(this.next, new Uint8Array(0));
        this.pending = true;
      }
    }
    while ((words[StatusWord.LogEnd] as number) >= this.next && (all || !storage.full)) {
      engine.exportRows(this.next, this.rows, this.counts);
      const [count, bytes] = this.counts as unknown as [number, number];
      if (count === 0) break;
      storage.append(this.next, this.rows.subarray(0, bytes));
      this.next += count;
      this.pending = true;
    }
  }

  /** Whether the snapshot is in force, with what is collected next; else it is being written. */
  private installed(snapshot: Snapshot): boolean {
    if (!this.ready) {
      if (!this.writingSnapshot) {
        this.writeSnapshot(snapshot, true, () => {
          this.ready = this.installing === snapshot;
        });
      }
      return false;
    }
    this.options.storage.installSnapshot(snapshot.seqno);
    this.installing = undefined;
    this.ready = false;
    this.next = snapshot.seqno + 1;
    this.cut = false;
    this.pending = true;
    this.written = { key: "", committed: 0, accepted: 0, atUs: 0 };
    return true;
  }

  private writeCheckpoint(): void {
    const snapshot = this.checkpoint;
    if (!snapshot || this.writingSnapshot || this.next <= snapshot.seqno) return;
    this.checkpoint = undefined;
    this.writeSnapshot(snapshot, false, () => {});
  }

  private writeSnapshot(snapshot: Snapshot, install: boolean, done: () => void): void {
    this.writingSnapshot = true;
    this.options.storage.writeSnapshot(snapshot.seqno, snapshotChunks(snapshot), { install }, (error) => {
      this.writingSnapshot = false;
      if (this.closed || this.failed) return;
      if (error && (install || this.options.storage.failure)) this.fail(error);
      else if (error) this.options.onSnapshotFailure(snapshot.seqno, error);
      else done();
      this.pump();
    });
  }
}

/** Equal for states between which only the committed seqno differs. */
function keyOf({ life, id, takesPart, lasts, view, lastNormalView, mode, incarnation, vector, epoch }: StoredState): string {
  return `${life} ${id} ${takesPart} ${lasts} ${view} ${lastNormalView} ${mode} ${incarnation} ${vector.join()} ${epoch?.epoch} ${epoch?.joining}`;
}
