/**
 * Takes the checkpoints of one replica: at seqnos that the log names, once they are committed and executed, the machine's state and the
 * session table as of exactly there. What was executed beyond is rolled back for that moment and executed again.
 */
import { createHash } from "node:crypto";
import { PositionBytes, type Snapshot } from "../control/snapshot.js";
import { type NativeReplicaEngine, StatusWord } from "./binding.js";
import { hashBytes, OffThreadBytes } from "./hashing.js";
import type { MachineHost } from "./machine-host.js";
import { writeUint64 } from "./seqno.js";
import { SnapshotPull } from "./snapshot-bytes.js";

// Of a snapshot in chunks so much is pulled in one go.
const SliceBytes = 1 << 20;
const SessionDigestBytes = 32;

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
}

export class CheckpointKeeper {
  readonly #options: CheckpointKeeperOptions;
  /** Chunks are still to be pulled. */
  #pulling: Taking | undefined;
  /** Raised when the state is replaced: what is being hashed then no longer counts. */
  #generation = 0;
  #hashing = false;

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
    const taking = this.#pulling || this.#hashing || machine.hasThrownAbove(due) ? undefined : this.#take(due, executed);
    engine.checkpointed(due);
    if (!taking) return;
    this.#pulling = taking;
    this.work();
  }

  /** Goes on with a snapshot in chunks. */
  work(): void {
    const taking = this.#pulling;
    if (!taking) return;
    try {
      if (!taking.pull.take(this.#options.inPlace ? Number.POSITIVE_INFINITY : SliceBytes)) return;
    } catch (error) {
      this.#pulling = undefined;
      this.#options.refused(taking.seqno, error);
      return;
    }
    this.#pulling = undefined;
    this.#finish(taking);
  }

  /** The state was replaced by a snapshot from elsewhere. */
  reset(): void {
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
    return pull && { seqno, position, sessions: new Uint8Array(sessions), pull };
  }

  #finish({ seqno, position, sessions, pull }: Taking): void {
    const machine = pull.bytes();
    const done = (hash: Uint8Array): void => {
      const digest = snapshotDigest(seqno, position, sessions, hash);
      this.#options.taken({ seqno, position, machine, sessions, digest });
    };
    if (this.#options.inPlace || machine.length < OffThreadBytes) {
      done(createHash("sha256").update(machine).digest());
      return;
    }
    const generation = this.#generation;
    this.#hashing = true;
    hashBytes(machine).then(
      (hash) => {
        if (generation !== this.#generation) return;
        this.#hashing = false;
        done(hash);
      },
      (error: unknown) => {
        if (generation !== this.#generation) return;
        this.#hashing = false;
        this.#options.refused(seqno, error);
      },
    );
  }
}

/** Whether a snapshot from elsewhere has its digest; a large one is hashed on another thread, and `later` is called. */
export function verifySnapshot(snapshot: Snapshot, inPlace: boolean, later: (valid: boolean) => void): boolean | undefined {
  const { seqno, position, sessions, machine, digest } = snapshot;
  if (position.length !== PositionBytes) return false;
  const matches = (hash: Uint8Array): boolean => Buffer.compare(snapshotDigest(seqno, position, sessions, hash), digest) === 0;
  if (inPlace || machine.length < OffThreadBytes) return matches(createHash("sha256").update(machine).digest());
  hashBytes(machine).then(
    (hash) => later(matches(hash)),
    () => later(false),
  );
  return undefined;
}
