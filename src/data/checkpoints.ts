/**
 * Takes the checkpoints of one replica: at seqnos that the log names, once they are committed and executed, the machine's state and the
 * session table as of exactly there. What was executed beyond is rolled back for that moment and executed again.
 */
import { createHash } from "node:crypto";
import { PositionBytes, type Snapshot } from "../control/snapshot.js";
import { type NativeReplicaEngine, ReplicaStatus, StatusWord } from "./binding.js";
import type { StreamEnd } from "./hash-jobs.js";
import type { HashStream } from "./hash-stream.js";
import { hashBytes, hashStream, OffThreadBytes } from "./hashing.js";
import type { MachineHost } from "./machine-host.js";
import { writeUint64 } from "./seqno.js";
import { SnapshotPull } from "./snapshot-bytes.js";

// Of a snapshot in chunks so much is pulled in one go.
const SliceBytes = 1 << 20;
const SessionDigestBytes = 32;
/** Where checkpoints would take more than this share of the time, only one of LongestStride is taken, while the log has room. */
const BusyShare = 0.25;
const LongestStride = 2;
const FullestLog = 0.5;

/** SHA-256 over seqno, position, the digest at the head of the session table's bytes, and the SHA-256 of the machine's bytes. */
export function snapshotDigest(seqno: number, position: Uint8Array, sessions: Uint8Array, machineHash: Uint8Array): Uint8Array {
  const head = new Uint8Array(8);
  writeUint64(head, 0, seqno);
  return createHash("sha256").update(head).update(position).update(sessions.subarray(0, SessionDigestBytes)).update(machineHash).digest();
}

export interface CheckpointKeeperOptions {
  engine: NativeReplicaEngine;
  machine: MachineHost;
  words: Float64Array;
  /** Entries between checkpoints; 0: none are taken. */
  every: number;
  /** How full the log is, 0 to 1. */
  logFill(): number;
  /** Hash here and now, however much it is: the simulator has no other threads. */
  inPlace: boolean;
  /** Rolls the machine alone back to this seqno. */
  rollBack(toSeqno: number): void;
  taken(snapshot: Snapshot): void;
  /** Machine.snapshot threw, or returned no bytes: there is no checkpoint at this seqno. */
  refused(seqno: number, error: unknown): void;
  fail(message: string): void;
}

interface Taking {
  seqno: number;
  position: Uint8Array;
  sessions: Uint8Array;
  pull: SnapshotPull;
  /** Chunks go there, once there are too many to be put together and hashed here. */
  stream?: HashStream;
  sinceUs: number;
}

export class CheckpointKeeper {
  readonly #options: CheckpointKeeperOptions;
  /** Chunks are still to be pulled. */
  #pulling: Taking | undefined;
  /** Raised when the state is replaced: what is being hashed then no longer counts. */
  #generation = 0;
  #hashing = false;
  /** How long the last one took that was hashed on another thread. */
  #tookUs = 0;
  #begunUs = 0;
  /** Of so many checkpoints that are due one is taken. */
  #stride = 1;

  constructor(options: CheckpointKeeperOptions) {
    this.#options = options;
  }

  /** Whether work() has something to do. */
  get pulling(): boolean {
    return this.#pulling !== undefined;
  }

  /**
   * Entries up to `limit` are committed and executed, which the machine has not been told: it could not go back then. Takes the checkpoint
   * that is due there, or forgets it.
   */
  advance(limit: number): void {
    const { engine, machine, words, every } = this.#options;
    let due = words[StatusWord.CheckpointDue] as number;
    if (due === 0 || due > limit) return;
    if (machine.failure !== undefined) {
      engine.checkpointed(limit);
      return;
    }
    // Behind by several, only the last one matters: the others cannot be compared before it is there anyway.
    const last = Math.floor(limit / every) * every;
    if (last > due) {
      engine.checkpointed(last - 1);
      due = words[StatusWord.CheckpointDue] as number;
      if (due === 0 || due > limit) return;
    }
    const executed = words[StatusWord.Executed] as number;
    // An operation at which all machines failed alike is not executed a second time.
    const skip = this.#pulling || this.#hashing || machine.hasThrownAbove(due) || this.#spares(due);
    const taking = skip ? undefined : this.#take(due, executed);
    engine.checkpointed(due);
    if (!taking) return;
    this.#pulling = taking;
    this.work();
  }

  /**
   * Whether to leave this one out, since a large state would keep the process busy with nothing else. Replicas that leave some out have
   * the others in common, and can compare their digests.
   */
  #spares(due: number): boolean {
    const { engine, every, logFill, words } = this.#options;
    const nowUs = engine.nowUs();
    const share = this.#tookUs / (nowUs - this.#begunUs);
    if (share > BusyShare) this.#stride = LongestStride;
    else if (share < BusyShare / 4) this.#stride = 1;
    // Nobody asks one that recovers for its state: its time goes to what it still lacks.
    const spared = words[StatusWord.Status] === ReplicaStatus.Recovery || (due / every) % this.#stride !== 0;
    // The log keeps everything from the checkpoint before the last one until the next is there. Those that are due for another reason than
    // the number of entries (the log's bytes, the end of an epoch) are taken.
    if (due % every === 0 && spared && logFill() < FullestLog) return true;
    this.#begunUs = nowUs;
    return false;
  }

  /** Goes on with a snapshot in chunks. */
  work(): void {
    const taking = this.#pulling;
    if (!taking) return;
    try {
      const done = taking.pull.take(this.#options.inPlace ? Number.POSITIVE_INFINITY : SliceBytes);
      this.#passOn(taking);
      if (!done) return;
    } catch (error) {
      this.#pulling = undefined;
      taking.stream?.abandon();
      this.#options.refused(taking.seqno, error);
      return;
    }
    this.#pulling = undefined;
    this.#finish(taking);
  }

  /** The state was replaced by a snapshot from elsewhere, or an epoch begins: what is under way is of no use, and the next one is taken. */
  reset(): void {
    this.#tookUs = 0;
    this.#pulling?.stream?.abandon();
    this.#pulling = undefined;
    this.#hashing = false;
    this.#generation++;
  }

  #take(seqno: number, executed: number): Taking | undefined {
    const { engine, machine, fail, refused } = this.#options;
    const sessions = engine.checkpointSessions(seqno);
    if (sessions === undefined) return undefined;
    const position = new Uint8Array(engine.position(seqno));
    machine.commit(seqno);
    if (executed > seqno) this.#options.rollBack(seqno);
    if (machine.broken) return undefined;
    let pull: SnapshotPull | undefined;
    try {
      pull = new SnapshotPull(machine.snapshot());
    } catch (error) {
      refused(seqno, error);
    }
    if (executed > seqno && !engine.reexecute(seqno + 1, executed)) {
      fail(
        `executed again behind the checkpoint at ${seqno}, operations gave other results: the machine's rollback or speculativelyExecute is not deterministic`,
      );
      return undefined;
    }
    return pull && { seqno, position, sessions: new Uint8Array(sessions), pull, sinceUs: engine.nowUs() };
  }

  /** Chunks of a large snapshot are hashed and put together on another thread. */
  #passOn(taking: Taking): void {
    const { pull } = taking;
    if (this.#options.inPlace || pull.whole || (!taking.stream && pull.length < OffThreadBytes)) return;
    taking.stream ??= hashStream(true);
    for (const chunk of pull.drain()) taking.stream.add(chunk);
  }

  #finish({ seqno, position, sessions, pull, stream, sinceUs }: Taking): void {
    const done = ({ hash, bytes }: StreamEnd): void => {
      const digest = snapshotDigest(seqno, position, sessions, hash);
      this.#options.taken({ seqno, position, machine: bytes, sessions, digest });
    };
    if (this.#options.inPlace || (!stream && pull.length < OffThreadBytes)) {
      const bytes = pull.bytes();
      done({ hash: createHash("sha256").update(bytes).digest(), bytes });
      return;
    }
    const generation = this.#generation;
    this.#hashing = true;
    const hashed = stream ? stream.end() : hashBytes(pull.bytes()).then((hash) => ({ hash, bytes: pull.bytes() }));
    hashed.then(
      (end) => {
        if (generation !== this.#generation) return;
        this.#hashing = false;
        this.#tookUs = this.#options.engine.nowUs() - sinceUs;
        done(end);
      },
      (error: unknown) => {
        if (generation !== this.#generation) return;
        this.#hashing = false;
        this.#options.refused(seqno, error);
      },
    );
  }
}

/**
 * Whether a snapshot from elsewhere has its digest. A large one is hashed on another thread, which takes the machine's bytes with it; `later`
 * is called when they are back.
 */
export function verifySnapshot(snapshot: Snapshot, inPlace: boolean, later: (valid: boolean) => void): boolean | undefined {
  const { seqno, position, sessions, machine, digest } = snapshot;
  if (position.length !== PositionBytes) return false;
  const matches = (hash: Uint8Array): boolean => Buffer.compare(snapshotDigest(seqno, position, sessions, hash), digest) === 0;
  if (inPlace || machine.length < OffThreadBytes) return matches(createHash("sha256").update(machine).digest());
  const stream = hashStream(true);
  stream.add(ownBuffer(machine));
  stream.end().then(
    ({ hash, bytes }) => {
      snapshot.machine = bytes;
      later(matches(hash));
    },
    () => later(false),
  );
  return undefined;
}

/** What can be given away: nothing else lives in its buffer. */
function ownBuffer(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  return bytes.buffer instanceof ArrayBuffer && bytes.length === bytes.buffer.byteLength
    ? (bytes as Uint8Array<ArrayBuffer>)
    : new Uint8Array(bytes);
}
