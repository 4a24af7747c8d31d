/**
 * A recovering replica's way to what the group has committed, before it takes part: a snapshot, then runs of committed entries, from one
 * replica that is NORMAL. Not faster than the group can spare, and faster than it goes on.
 */
import { Guard, MessageType, ReplicaStatus } from "../data/binding.js";
import { type Context, equalBytes } from "./context.js";
import { FetchWindow } from "./fetch-window.js";
import { type CommittedRun, encodeFetch, type FetchRange, FetchWhat, HashBytes } from "./messages.js";
import { Pace } from "./pace.js";
import type { RecoveryAnswerMessage } from "./recovery-messages.js";
import type { Snapshot } from "./snapshot.js";
import type { SnapshotFetch } from "./snapshot-fetch.js";

/** Near enough: a reconciliation brings the rest. */
const NearEntries = 4096;
const Tries = 4;
/** Of a group under load entries take a quarter of the time, in runs that keep no core for long ... */
const RestFactor = 3;
const RunUnderLoad = 200;
/** ... and more of it unless the distance shrinks by a tenth in each such period. */
const LagPeriodUs = 500_000;
const LagShare = 0.9;
/** Runs that overtook one that is lost. */
const MostWaiting = 8;
/** A source that answers no query for so long is left for another. */
const SilentUs = 500_000;

export interface PrefetchHost {
  restored(nowUs: number, snapshot: Snapshot): void;
}

/** A run that waits for those before it, or for its hash. */
interface Waiting extends FetchRange {
  message: CommittedRun;
  hashing: boolean;
}

export class Prefetch {
  private readonly context: Context;
  private readonly host: PrefetchHost;
  private readonly snapshots: SnapshotFetch;
  /** Views in which entries that are here now were known to be committed lie at or below it. */
  view = -1;
  private source = -1;
  /** What the source had committed when it last said so. */
  private committed = 0;
  private answeredUs = 0;
  /** What is asked for; undefined: no entries are. */
  private window: FetchWindow | undefined;
  private waiting: Waiting[] = [];
  private pace: Pace;
  /** How far behind the log was, and when that was looked at. */
  private lag = Number.POSITIVE_INFINITY;
  private lagUs = 0;
  /** The source sent nothing of what it was asked for. */
  private gaveUp = false;

  constructor(context: Context, host: PrefetchHost, snapshots: SnapshotFetch) {
    this.context = context;
    this.host = host;
    this.snapshots = snapshots;
    this.pace = new Pace(context, 1, RestFactor);
  }

  /** Whether the log holds about all that the source had committed when it last said so. */
  get near(): boolean {
    return this.source >= 0 && this.context.data.logEnd + NearEntries >= this.committed;
  }

  /** Whether there is a source, and the log is not near. */
  get far(): boolean {
    return this.source >= 0 && !this.near;
  }

  /** What is under way; the log's end and where it should be. */
  get state(): "snapshot" | "entries" {
    return this.snapshots.running ? "snapshot" : "entries";
  }

  get target(): number {
    return this.committed;
  }

  /** An answer of a replica in the life that was found. */
  onAnswer(nowUs: number, from: number, answer: RecoveryAnswerMessage): void {
    const { data } = this.context;
    if (answer.status !== ReplicaStatus.Normal) return;
    const serves = this.source >= 0 && nowUs - this.answeredUs < SilentUs;
    if (this.source !== from && serves && !this.gaveUp) return;
    if (this.source !== from) this.stop();
    this.source = from;
    this.committed = answer.committed;
    this.answeredUs = nowUs;
    this.gaveUp = false;
    if (this.window) this.compareLag(nowUs);
    if (this.window || this.snapshots.running || answer.committed <= data.logEnd || this.rests) return;
    const far = answer.checkpoint > data.logEnd + NearEntries;
    if (answer.base > data.logEnd || far) this.fetchSnapshot(nowUs, Math.max(answer.base, data.logEnd + 1));
    else this.fetchEntries(nowUs);
  }

  /** The log stands still from now on. */
  stop(): void {
    this.window = undefined;
    this.waiting = [];
    this.snapshots.stop();
  }

  /** False: entries that do not belong to the log. */
  onRun(nowUs: number, from: number, message: CommittedRun): boolean {
    const { window, context } = this;
    const hashed = this.waiting.find((one) => one.message === message);
    if (!window || from !== this.source || (!hashed && message.from <= context.data.logEnd)) return true;
    if (hashed) {
      hashed.hashing = false;
    } else {
      const count = entriesOf(message.run);
      if (count === 0) return false;
      const last = message.from + count - 1;
      window.unanswered = 0;
      const request = window.find(message.what, message.from);
      if (request) this.pace.onAnswered(nowUs, context.data.logEnd);
      if (request) window.answered(nowUs, request, { count, last, large: message.run.length > context.messageBytes + HashBytes });
      const known = this.waiting.some((one) => one.from === message.from);
      if (!known) this.waiting.push({ from: message.from, to: last, message, hashing: false });
    }
    if (!this.append(nowUs)) return false;
    if (!hashed && this.waiting.some((one) => one.message === message)) keep(message);
    if (this.window) this.advance(nowUs);
    return true;
  }

  onTimer(nowUs: number): void {
    if (!this.window) return;
    if (nowUs >= this.pace.deadlineUs) this.advance(nowUs);
    if (!this.window.expire(nowUs)) return;
    this.pace.reset();
    // The source may be gone, or have forgotten what is asked for: another answer decides how to go on.
    this.gaveUp = this.window.unanswered >= Tries;
    if (this.gaveUp) this.stop();
    else this.advance(nowUs);
  }

  get deadlineUs(): number {
    if (!this.window) return Number.POSITIVE_INFINITY;
    return Math.min(this.pace.deadlineUs, this.window.deadlineUs);
  }

  /** Takes what follows the log's end. False: it does not belong there. */
  private append(nowUs: number): boolean {
    const { data } = this.context;
    for (;;) {
      // One that begins within the log was asked for twice, in other parts; its rest is asked for again.
      this.waiting = this.waiting.filter((one) => one.from > data.logEnd);
      const next = this.waiting.find((one) => one.from === data.logEnd + 1);
      if (!next || next.hashing) return true;
      const { message } = next;
      next.hashing = this.hashedLater(this.source, message);
      if (next.hashing) return true;
      const { chained } = message.single ?? {};
      const hashed = chained !== undefined && equalBytes(chained.previous, data.hashAt(data.logEnd));
      const left = data.appendRun(message.run, hashed ? chained.hash : undefined);
      if (left < 0) {
        // It is asked for again.
        this.waiting = this.waiting.filter((one) => one !== next);
        return false;
      }
      this.view = Math.max(this.view, message.view);
      this.committed = Math.max(this.committed, message.committed);
      this.context.load.heard(nowUs, this.committed);
      // No room, since no checkpoint of the own is agreed on here: one of the others' makes it.
      if (left > 0) this.fetchSnapshot(nowUs, data.logEnd + 1);
      else if (this.rests || data.logEnd >= this.committed) this.stop();
      if (!this.window) return true;
    }
  }

  /** The rest comes with the START-VIEW; what was fetched in its own view would keep it from being installed. */
  private get rests(): boolean {
    return this.near && this.context.guard(Guard.RecoverySilence);
  }

  private fetchSnapshot(nowUs: number, minSeqno: number): void {
    const { data } = this.context;
    this.stop();
    this.snapshots.start(nowUs, [this.source], minSeqno, (doneUs, snapshot) => {
      // The snapshot may be newer than the answer: what is known of views must be, too.
      this.view = Math.max(this.view, this.snapshots.view);
      if (snapshot.seqno > data.logEnd && data.restore(snapshot)) this.host.restored(doneUs, snapshot);
      else this.snapshots.discard();
      if (this.committed > data.logEnd && !this.rests) this.fetchEntries(doneUs);
    });
  }

  private fetchEntries(nowUs: number): void {
    this.window = new FetchWindow(this.context);
    this.pace = new Pace(this.context, 1, RestFactor);
    this.lag = Number.POSITIVE_INFINITY;
    this.advance(nowUs);
  }

  private advance(nowUs: number): void {
    const window = this.window as FetchWindow;
    while (window.hasRoom && this.pace.goes(nowUs)) {
      const range = this.missing(nowUs, window);
      if (!range || (this.waiting.length >= MostWaiting && range.from > this.context.data.logEnd + 1)) return;
      window.asked(nowUs, FetchWhat.Committed, range);
      this.pace.onAsked(nowUs);
      const body = encodeFetch({ view: this.context.data.view, what: FetchWhat.Committed, ranges: [range] });
      this.context.send(this.source, MessageType.Fetch, body);
    }
  }

  /** The group may go on as fast as its entries are fetched. */
  private compareLag(nowUs: number): void {
    if (nowUs - this.lagUs < LagPeriodUs) return;
    const lag = this.committed - this.context.data.logEnd;
    if (lag > LagShare * this.lag) this.pace.hurry();
    this.lag = lag;
    this.lagUs = nowUs;
  }

  /** The first entries that are neither here nor asked for. */
  private missing(nowUs: number, { requests, recordsPerReply }: FetchWindow): FetchRange | undefined {
    const taken: FetchRange[] = [...requests, ...this.waiting].sort((a, b) => a.from - b.from);
    let from = this.context.data.logEnd + 1;
    for (const range of taken) if (range.from <= from) from = Math.max(from, range.to + 1);
    if (from > this.committed) return undefined;
    const next = taken.find((range) => range.from > from);
    const most = this.context.load.busy(nowUs) ? Math.min(RunUnderLoad, recordsPerReply) : recordsPerReply;
    return { from, to: Math.min(this.committed, from + most - 1, (next?.from ?? Number.POSITIVE_INFINITY) - 1) };
  }

  /** What is larger than a message usually is, is one large operation. */
  private hashedLater(from: number, message: CommittedRun): boolean {
    const { data, messageBytes } = this.context;
    if (message.run.length <= messageBytes + HashBytes || message.single) return false;
    keep(message);
    const record = message.run.subarray(HashBytes + 4);
    message.single = { seqno: message.from, record };
    return data.hashLater(from, message, [{ previous: data.hashAt(data.logEnd), records: [message.single] }]);
  }
}

/** The frame that it came in is only lent. */
function keep(message: CommittedRun): void {
  message.run = new Uint8Array(message.run);
}

/** How many entries a run holds; 0: malformed. */
function entriesOf(run: Uint8Array): number {
  const view = new DataView(run.buffer, run.byteOffset, run.length);
  let count = 0;
  let at = HashBytes;
  while (at + 4 <= run.length) {
    at += 4 + view.getUint32(at, true);
    count++;
  }
  return at === run.length ? count : 0;
}
