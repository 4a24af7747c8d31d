/**
 * Fetches a snapshot in chunks, a few at a time and not faster than a group under load can spare; resumes where another source stopped, as long as
 * that one has the same state. What is complete and verified is kept until it is used.
 */
import { MessageType } from "../data/binding.js";
import { type Context, equalBytes } from "./context.js";
import { Pace } from "./pace.js";
import type { Snapshot } from "./snapshot.js";
import { encodeFetchSnapshot, type SnapshotChunkMessage } from "./snapshot-messages.js";

const Never = Number.POSITIVE_INFINITY;
const OutstandingChunks = 4;
/** Of a group under load the transfer takes an eighth of the time. */
const RestFactor = 7;
const LargestChunkBytes = 32 * 1024;
const TriesPerSource = 4;
// Larger ones do not fit one ArrayBuffer everywhere.
const LargestSnapshotBytes = 2 ** 32 - 1;

interface Partial {
  header: SnapshotChunkMessage;
  /** The content's two parts. Each has a buffer of its own, so that the larger one can be handed to another thread. */
  machine: Uint8Array;
  sessions: Uint8Array;
  /** Per chunk: undefined, when it was asked for, or true once it is here. */
  chunks: (number | true | undefined)[];
  missing: number;
  /** No chunk before it is missing. */
  cursor: number;
}

interface Task {
  sources: number[];
  /** Index in sources. */
  at: number;
  minSeqno: number;
  done: (nowUs: number, snapshot: Snapshot) => void;
}

export class SnapshotFetch {
  private readonly context: Context;
  private readonly chunkBytes: number;
  private task: Task | undefined;
  private partial: Partial | undefined;
  private staged: Snapshot | undefined;
  /** Handed out to be verified. */
  private checking: Snapshot | undefined;
  private unanswered = 0;
  private nextUs = Never;
  private readonly pace: Pace;
  /** Who sent what is here of partial, and keeps it for a while. */
  private source = -1;
  /** The highest view that a chunk came from: the snapshot was committed in it or before. */
  view = 0;

  constructor(context: Context) {
    this.context = context;
    this.pace = new Pace(context, OutstandingChunks, RestFactor);
    this.chunkBytes = Math.min(context.messageBytes, LargestChunkBytes);
  }

  get running(): boolean {
    return this.task !== undefined;
  }

  get verifying(): boolean {
    return this.checking !== undefined;
  }

  /** Share of the content that is here, 0 to 1. */
  get progress(): number {
    if (this.checking || this.staged) return 1;
    return this.partial ? 1 - this.partial.missing / this.partial.chunks.length : 0;
  }

  /** Fetches a snapshot at `minSeqno` or above from one of `sources`, the first at first; `done` is called once with it, perhaps at once. */
  start(nowUs: number, sources: readonly number[], minSeqno: number, done: (nowUs: number, snapshot: Snapshot) => void): void {
    this.unanswered = 0;
    if (this.staged && this.staged.seqno < minSeqno) this.staged = undefined;
    if (this.partial && this.partial.header.seqno < minSeqno) this.partial = undefined;
    const others = sources.filter((replica) => !this.partial || replica !== this.source);
    this.task = { sources: this.partial ? [this.source, ...others] : others, at: 0, minSeqno, done };
    if (this.staged) this.finish(nowUs, this.staged);
    else if (!this.checking) this.ask(nowUs);
  }

  /** What is here already is kept. */
  stop(): void {
    this.task = undefined;
    this.nextUs = Never;
  }

  /** The snapshot was used, or is of no use any more. */
  discard(): void {
    this.stop();
    this.staged = undefined;
    this.partial = undefined;
    this.checking = undefined;
  }

  /** False: a chunk that cannot belong to its snapshot. */
  onChunk(nowUs: number, from: number, chunk: SnapshotChunkMessage): boolean {
    const task = this.task;
    if (!task || this.checking || from !== task.sources[task.at]) return true;
    const total = chunk.machineBytes + chunk.sessionBytes;
    if (chunk.seqno === 0 || chunk.seqno < task.minSeqno || total > LargestSnapshotBytes || total === 0) {
      this.nextSource(nowUs);
      return true;
    }
    if (!this.partial || !sameState(this.partial.header, chunk)) {
      // Of an older state than what is half here the source is no help.
      if (this.partial && chunk.seqno < this.partial.header.seqno) this.nextSource(nowUs);
      else this.begin(chunk, total);
    }
    const partial = this.partial;
    if (!partial || !sameState(partial.header, chunk)) return true;
    const index = chunk.offset / this.chunkBytes;
    if (!Number.isInteger(index) || chunk.bytes.length !== this.lengthOf(partial, index)) return false;
    if (partial.chunks[index] === true) return true;
    this.unanswered = 0;
    this.source = from;
    this.view = Math.max(this.view, chunk.view);
    place(partial, chunk);
    if (partial.chunks[index] !== undefined) this.pace.onAnswered(nowUs, partial.header.seqno);
    partial.chunks[index] = true;
    if (--partial.missing > 0) this.ask(nowUs);
    else this.complete(nowUs, partial);
    return true;
  }

  /** The verification that the data plane put off has ended. */
  onVerified(nowUs: number, snapshot: Snapshot, valid: boolean): void {
    if (snapshot !== this.checking) return;
    this.checking = undefined;
    if (valid) {
      this.staged = snapshot;
      if (this.task && snapshot.seqno >= this.task.minSeqno) this.finish(nowUs, snapshot);
      else if (this.task) this.ask(nowUs);
    } else if (this.task) {
      this.nextSource(nowUs);
    }
  }

  onTimer(nowUs: number): void {
    if (!this.task || nowUs < this.nextUs) return;
    this.ask(nowUs);
  }

  get deadlineUs(): number {
    return this.nextUs;
  }

  private begin(chunk: SnapshotChunkMessage, total: number): void {
    const chunks = Math.ceil(total / this.chunkBytes);
    this.pace.reset();
    // One that was under way is gone at its source: the next has to come faster.
    if (this.partial) this.pace.hurry();
    this.partial = {
      header: { ...chunk, bytes: new Uint8Array(0) },
      machine: new Uint8Array(chunk.machineBytes),
      sessions: new Uint8Array(chunk.sessionBytes),
      chunks: new Array(chunks).fill(undefined),
      missing: chunks,
      cursor: 0,
    };
  }

  private lengthOf(partial: Partial, index: number): number {
    return Math.min(this.chunkBytes, partial.machine.length + partial.sessions.length - index * this.chunkBytes);
  }

  /** Asks for the next chunk, or again for one that did not come; sets when to go on. */
  private ask(nowUs: number): void {
    const { resendUs } = this.context;
    const partial = this.partial;
    if (!partial) {
      if (this.gaveUp(nowUs)) return;
      this.nextUs = nowUs + 2 * resendUs;
      this.send(0, 0);
      return;
    }
    while (partial.chunks[partial.cursor] === true) partial.cursor++;
    this.nextUs = Never;
    let outstanding = 0;
    for (let index = partial.cursor; index < partial.chunks.length && outstanding < OutstandingChunks; index++) {
      let askedUs = partial.chunks[index];
      if (askedUs === true) continue;
      if (askedUs === undefined && !this.pace.goes(nowUs)) {
        this.nextUs = Math.min(this.nextUs, this.pace.deadlineUs);
        return;
      }
      if (askedUs === undefined || askedUs + 2 * resendUs <= nowUs) {
        if (askedUs === undefined) this.pace.onAsked(nowUs);
        else if (this.gaveUp(nowUs)) return;
        askedUs = nowUs;
        partial.chunks[index] = nowUs;
        this.send(partial.header.seqno, index * this.chunkBytes);
      }
      outstanding++;
      this.nextUs = Math.min(this.nextUs, askedUs + 2 * resendUs);
    }
  }

  private send(seqno: number, offset: number): void {
    const { sources, at } = this.task as Task;
    this.context.send(sources[at] as number, MessageType.FetchSnapshot, encodeFetchSnapshot({ seqno, offset, length: this.chunkBytes }));
  }

  /** After several requests without an answer the next source is asked. */
  private gaveUp(nowUs: number): boolean {
    if (++this.unanswered <= TriesPerSource) return false;
    this.nextSource(nowUs);
    return true;
  }

  private nextSource(nowUs: number): void {
    const task = this.task as Task;
    task.at = (task.at + 1) % task.sources.length;
    this.unanswered = 0;
    this.pace.reset();
    const partial = this.partial;
    if (partial) {
      // Session tables of one digest may differ in bytes: only one source's may be used.
      const firstOfSessions = Math.floor(partial.header.machineBytes / this.chunkBytes);
      for (let index = 0; index < partial.chunks.length; index++) {
        if (partial.chunks[index] === true && index < firstOfSessions) continue;
        if (partial.chunks[index] === true) partial.missing++;
        partial.chunks[index] = undefined;
      }
      partial.cursor = 0;
    }
    this.nextUs = nowUs + this.context.resendUs;
  }

  private complete(nowUs: number, partial: Partial): void {
    this.partial = undefined;
    this.nextUs = Never;
    const { machine, sessions } = partial;
    const { seqno, position, digest } = partial.header;
    const snapshot = { seqno, position, digest, machine, sessions };
    this.checking = snapshot;
    const valid = this.context.data.verify(snapshot);
    if (valid !== undefined) this.onVerified(nowUs, snapshot, valid);
  }

  private finish(nowUs: number, snapshot: Snapshot): void {
    const { done } = this.task as Task;
    this.stop();
    done(nowUs, snapshot);
  }
}

/** A chunk may hold the end of the machine's bytes and the beginning of the session table's. */
function place({ machine, sessions }: Partial, { offset, bytes }: SnapshotChunkMessage): void {
  const ofMachine = Math.max(0, Math.min(bytes.length, machine.length - offset));
  if (ofMachine > 0) machine.set(bytes.subarray(0, ofMachine), offset);
  if (ofMachine < bytes.length) sessions.set(bytes.subarray(ofMachine), offset + ofMachine - machine.length);
}

function sameState(a: SnapshotChunkMessage, b: SnapshotChunkMessage): boolean {
  return a.seqno === b.seqno && a.machineBytes === b.machineBytes && a.sessionBytes === b.sessionBytes && equalBytes(a.digest, b.digest);
}
