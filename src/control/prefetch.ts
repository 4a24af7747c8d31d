/**
 * A recovering replica's way to what the group has committed, before it takes part: a snapshot, then committed entries in batches, from one
 * replica that is NORMAL. Not faster than the group can spare.
 */
import { Guard, MessageType, ReplicaStatus } from "../data/binding.js";
import { type Context, equalBytes } from "./context.js";
import { RecordPool, recordOf } from "./log-rows.js";
import { encodeFetch, type FetchReplyMessage, FetchWhat, HashBytes } from "./messages.js";
import type { RecoveryAnswerMessage } from "./recovery-messages.js";
import { RemoteLog } from "./remote-log.js";
import type { Snapshot } from "./snapshot.js";
import type { SnapshotFetch } from "./snapshot-fetch.js";

const Never = Number.POSITIVE_INFINITY;
/** Near enough: a reconciliation brings the rest. */
const NearEntries = 4096;
const BatchEntries = 4096;
const PaceUs = 2_000;
const Tries = 4;
/** A source that answers no query for so long is left for another. */
const SilentUs = 500_000;

export interface PrefetchHost {
  restored(nowUs: number, snapshot: Snapshot): void;
  fail(message: string): void;
}

export class Prefetch {
  private readonly context: Context;
  private readonly host: PrefetchHost;
  private readonly snapshots: SnapshotFetch;
  /** Views in which entries that are here now were known to be committed lie at or below it. */
  view = -1;
  private source = -1;
  private answer: RecoveryAnswerMessage | undefined;
  private log: RemoteLog | undefined;
  private answeredUs = 0;
  private fetchUs = Never;
  private unanswered = 0;

  constructor(context: Context, host: PrefetchHost, snapshots: SnapshotFetch) {
    this.context = context;
    this.host = host;
    this.snapshots = snapshots;
  }

  /** Whether the log holds about all that the source had committed when it last said so. */
  get near(): boolean {
    return this.answer !== undefined && this.context.data.logEnd + NearEntries >= this.answer.committed;
  }

  /** What is under way; the log's end and where it should be. */
  get state(): "snapshot" | "entries" {
    return this.snapshots.running ? "snapshot" : "entries";
  }

  get target(): number {
    return this.answer?.committed ?? 0;
  }

  /** An answer of a replica in the life that was found. */
  onAnswer(nowUs: number, from: number, answer: RecoveryAnswerMessage): void {
    const { data } = this.context;
    if (answer.status !== ReplicaStatus.Normal) return;
    const serves = this.source >= 0 && this.unanswered <= Tries && nowUs - this.answeredUs < SilentUs;
    if (this.source !== from && serves) return;
    if (this.source !== from) this.stop();
    this.source = from;
    this.answer = answer;
    this.answeredUs = nowUs;
    if (this.log || this.snapshots.running || answer.committed <= data.logEnd) return;
    // The rest comes with the START-VIEW; what was fetched in its own view would keep it from being installed.
    if (this.near && this.context.guard(Guard.RecoverySilence)) return;
    this.begin(nowUs, from, answer);
  }

  /** The log stands still from now on. */
  stop(): void {
    this.log = undefined;
    this.fetchUs = Never;
    this.snapshots.stop();
  }

  /** False: records that do not belong to the log. */
  onFetchReply(nowUs: number, from: number, message: FetchReplyMessage): boolean {
    const log = this.log;
    if (!log || from !== this.source || message.view !== this.answer?.view) return true;
    this.unanswered = 0;
    if (log.hashesLater(from, message)) return true;
    const fits = message.what === FetchWhat.Rows ? log.addRows(message.from, message.rows) : log.addRecords(message.records);
    if (fits) this.fetchUs = Math.min(this.fetchUs, nowUs + PaceUs);
    return fits;
  }

  onTimer(nowUs: number): void {
    if (nowUs >= this.fetchUs) this.advance(nowUs);
  }

  get deadlineUs(): number {
    return this.fetchUs;
  }

  private begin(nowUs: number, source: number, answer: RecoveryAnswerMessage): void {
    const { data } = this.context;
    this.unanswered = 0;
    const far = answer.checkpoint > data.logEnd + NearEntries;
    if (answer.base > data.logEnd || far) {
      this.snapshots.start(nowUs, [source], Math.max(answer.base, data.logEnd + 1), (doneUs, snapshot) => {
        // The snapshot may be newer than the answer: what is known of views must be, too.
        this.view = Math.max(this.view, this.snapshots.view);
        if (snapshot.seqno > data.logEnd && data.restore(snapshot)) this.host.restored(doneUs, snapshot);
        else this.snapshots.discard();
        this.nextBatch(doneUs);
      });
      return;
    }
    this.nextBatch(nowUs);
  }

  private nextBatch(nowUs: number): void {
    const { data } = this.context;
    const answer = this.answer as RecoveryAnswerMessage;
    const low = data.logEnd;
    if (answer.committed <= low || answer.base > low || (this.near && this.context.guard(Guard.RecoverySilence))) return;
    this.view = Math.max(this.view, answer.view);
    this.log = new RemoteLog(data, new RecordPool(data), low, Math.min(answer.committed, low + BatchEntries), data.hashAt(low));
    this.advance(nowUs);
  }

  private advance(nowUs: number): void {
    this.fetchUs = Never;
    const log = this.log;
    const answer = this.answer;
    if (!log || !answer) return;
    const missing = log.missing();
    if (missing) {
      // The source may be gone, or have forgotten what is asked for: another answer decides how to go on.
      if (++this.unanswered > Tries) {
        this.log = undefined;
        return;
      }
      this.fetchUs = nowUs + 2 * this.context.resendUs;
      this.context.send(this.source, MessageType.Fetch, encodeFetch({ view: answer.view, ...missing }));
      return;
    }
    this.log = undefined;
    const { data } = this.context;
    const hashes = new Uint8Array(log.rows.length * HashBytes);
    log.rows.forEach((row, index) => {
      hashes.set(row.hash, index * HashBytes);
    });
    if (
      !data.appendCommitted(
        log.rows.map((row) => recordOf(data, row)),
        hashes,
      )
    ) {
      this.host.fail(`the log has no room for what is committed up to ${answer.committed}`);
      return;
    }
    if (data.logEnd === answer.committed && !equalBytes(data.hashAt(data.logEnd), answer.committedHash)) {
      this.host.fail(`the committed entries fetched up to ${answer.committed} have another summary hash`);
      return;
    }
    this.nextBatch(nowUs);
  }
}
