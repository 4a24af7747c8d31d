/**
 * A recovering replica's way to what the group has committed, before it takes part: a snapshot, then runs of committed entries, from one
 * replica that is NORMAL. Not faster than the group can spare, and faster than it goes on.
 */
import { Guard, MessageType, ReplicaStatus } from "../data/binding.js";
import { type Context, equalBytes } from "./context.js";
import { type CommittedRun, encodeFetch, FetchWhat, HashBytes } from "./messages.js";
import type { RecoveryAnswerMessage } from "./recovery-messages.js";
import type { Snapshot } from "./snapshot.js";
import type { SnapshotFetch } from "./snapshot-fetch.js";

const Never = Number.POSITIVE_INFINITY;
/** Near enough: a reconciliation brings the rest. */
const NearEntries = 4096;
/** Between a message of entries and the next request: at most 128 MB/s, a small part of what their source can do. */
const PaceUs = 500;
const Tries = 4;
/** A source that answers no query for so long is left for another. */
const SilentUs = 500_000;

export interface PrefetchHost {
  restored(nowUs: number, snapshot: Snapshot): void;
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
  /** Entries are asked for, a message at a time. */
  private fetching = false;
  private fetchUs = Never;
  private unanswered = 0;

  constructor(context: Context, host: PrefetchHost, snapshots: SnapshotFetch) {
    this.context = context;
    this.host = host;
    this.snapshots = snapshots;
  }

  /** Whether the log holds about all that the source had committed when it last said so. */
  get near(): boolean {
    return this.source >= 0 && this.context.data.logEnd + NearEntries >= this.committed;
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
    const serves = this.source >= 0 && this.unanswered <= Tries && nowUs - this.answeredUs < SilentUs;
    if (this.source !== from && serves) return;
    if (this.source !== from) this.stop();
    this.source = from;
    this.committed = answer.committed;
    this.answeredUs = nowUs;
    if (this.fetching || this.snapshots.running || answer.committed <= data.logEnd || this.rests) return;
    this.unanswered = 0;
    const far = answer.checkpoint > data.logEnd + NearEntries;
    if (answer.base > data.logEnd || far) this.fetchSnapshot(nowUs, Math.max(answer.base, data.logEnd + 1));
    else this.ask(nowUs);
  }

  /** The log stands still from now on. */
  stop(): void {
    this.fetching = false;
    this.fetchUs = Never;
    this.snapshots.stop();
  }

  /** False: entries that do not belong to the log. */
  onRun(nowUs: number, from: number, message: CommittedRun): boolean {
    const { data } = this.context;
    if (!this.fetching || from !== this.source || message.from !== data.logEnd + 1) return true;
    this.unanswered = 0;
    if (this.hashedLater(from, message)) return true;
    const { chained } = message.single ?? {};
    const hashed = chained !== undefined && equalBytes(chained.previous, data.hashAt(data.logEnd));
    const left = data.appendRun(message.run, hashed ? chained.hash : undefined);
    if (left < 0) return false;
    this.view = Math.max(this.view, message.view);
    this.committed = Math.max(this.committed, message.committed);
    this.fetchUs = nowUs + PaceUs;
    // No room, since no checkpoint of the own is agreed on here: one of the others' makes it.
    if (left > 0) this.fetchSnapshot(nowUs, data.logEnd + 1);
    else if (this.rests || data.logEnd >= this.committed) this.stop();
    return true;
  }

  onTimer(nowUs: number): void {
    if (nowUs >= this.fetchUs) this.ask(nowUs);
  }

  get deadlineUs(): number {
    return this.fetchUs;
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
      if (this.committed > data.logEnd && !this.rests) this.ask(doneUs);
    });
  }

  private ask(nowUs: number): void {
    // The source may be gone, or have forgotten what is asked for: another answer decides how to go on.
    this.fetching = ++this.unanswered <= Tries;
    this.fetchUs = this.fetching ? nowUs + 2 * this.context.resendUs : Never;
    if (!this.fetching) return;
    const from = this.context.data.logEnd + 1;
    const body = encodeFetch({ view: this.context.data.view, what: FetchWhat.Committed, ranges: [{ from, to: from }] });
    this.context.send(this.source, MessageType.Fetch, body);
  }

  /** What is larger than a message usually is, is one large operation. */
  private hashedLater(from: number, message: CommittedRun): boolean {
    const { data, messageBytes } = this.context;
    if (message.run.length <= messageBytes + HashBytes || message.single) return false;
    const record = message.run.subarray(HashBytes + 4);
    message.single = { seqno: message.from, record };
    return data.hashLater(from, message, [{ previous: data.hashAt(data.logEnd), records: [message.single] }]);
  }
}
