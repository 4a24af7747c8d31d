/**
 * Synchronization, the leader's half (section 4.2.2 of the paper): SYNC goes out so that the commit reaches the log's end within one
 * period; a superquorum whose summary hashes equal the own ones commits. Summary hashes are chained: a replica whose hash at s equals
 * the own one has the same entries up to s, so one reply also counts for every earlier SYNC of the view and SYNCs overlap freely.
 */
import { Guard, MessageType } from "../data/binding.js";
import { type Context, equalBytes } from "./context.js";
import { encodePosition, encodeSync, type PositionMessage } from "./messages.js";
import type { SyncHost } from "./sync.js";

// Entries between two SYNCs at which the period is halved and doubled.
const BusyEntries = 256;
const CalmEntries = 64;
const LongestProbeUs = 1_000_000;
// So long after a view began the shortest period is longer by this factor.
const CalmAfterUs = 100_000;
const CalmFactor = 5;

export class SyncLeader {
  private readonly context: Context;
  private readonly host: SyncHost;
  periodUs: number;
  /** Per replica, the highest seqno at which its log equalled the own one in this view. */
  private readonly matched: number[];
  private syncedTo = 0;
  private syncedUs = 0;
  /** When the first entry behind the last SYNC was seen. */
  private uncoveredUs = Number.POSITIVE_INFINITY;
  private committedUs = 0;
  private enteredUs = 0;
  private probeUs = Number.POSITIVE_INFINITY;
  private probeIntervalUs = 0;

  constructor(context: Context, host: SyncHost) {
    this.context = context;
    this.host = host;
    this.periodUs = context.syncMaxUs;
    this.matched = new Array(context.n).fill(0);
  }

  reset(nowUs: number): void {
    this.matched.fill(0);
    this.syncedTo = this.context.data.committed;
    this.syncedUs = nowUs;
    this.enteredUs = nowUs;
    this.uncoveredUs = Number.POSITIVE_INFINITY;
    this.probeUs = Number.POSITIVE_INFINITY;
  }

  onProgress(nowUs: number): void {
    const { data } = this.context;
    if (this.context.superquorum === 1) this.commitMatched(nowUs);
    if (data.logEnd <= this.syncedTo) return;
    if (this.uncoveredUs === Number.POSITIVE_INFINITY) this.uncoveredUs = nowUs;
    if (data.logEnd - this.syncedTo >= this.context.syncEvery) this.syncNow(nowUs);
  }

  /** More of the own log is on disk, which the others' answers may have waited for. */
  onDurable(nowUs: number): void {
    this.commitMatched(nowUs);
  }

  get progressSeqno(): number {
    const { data, superquorum, syncEvery } = this.context;
    if (superquorum === 1 || this.uncoveredUs === Number.POSITIVE_INFINITY) return data.logEnd + 1;
    return Math.max(this.syncedTo + syncEvery, data.logEnd + 1);
  }

  /** A SYNC for the whole log, if any of it is uncommitted. */
  syncNow(nowUs: number): void {
    const { data } = this.context;
    if (data.committed >= data.logEnd) return;
    const entries = data.logEnd - this.syncedTo;
    if (entries > BusyEntries) this.periodUs = Math.max(this.shortestUs(nowUs), this.periodUs / 2);
    else if (entries > 0 && entries < CalmEntries) this.periodUs = Math.min(this.context.syncMaxUs, this.periodUs * 2);
    this.syncedTo = data.logEnd;
    this.syncedUs = nowUs;
    this.uncoveredUs = Number.POSITIVE_INFINITY;
    this.context.broadcast(MessageType.Sync, encodeSync({ view: data.view, seqno: data.logEnd }));
    data.count("syncs");
  }

  /** A replica says that its log has this hash at this seqno (SYNC-REPLY, or IN-VIEW for the log a view started with). */
  onReply(nowUs: number, from: number, message: PositionMessage): void {
    const { data } = this.context;
    if (message.seqno > data.logEnd) return;
    // What is forgotten here is committed; another hash there has been judged before.
    const known = message.seqno >= data.logBase;
    if (known && this.context.guard(Guard.CommitHash) && !equalBytes(message.hash, data.hashAt(message.seqno))) {
      this.host.reconcile(nowUs, `replica ${from} has another log at ${message.seqno}`);
      return;
    }
    this.matched[from] = Math.max(this.matched[from] as number, message.seqno);
    if (!this.commitMatched(nowUs) && message.seqno <= data.committed && nowUs - this.committedUs >= this.context.resendUs / 2)
      this.tellCommitted(from);
  }

  /** The COMMIT a replica seems to have missed. */
  tellCommitted(to: number): void {
    const { data } = this.context;
    if (data.committed > 0) this.context.send(to, MessageType.Commit, this.commitBody());
  }

  /** Tells the others what was committed by other means than a SYNC. */
  announceCommit(nowUs: number): void {
    this.committedUs = nowUs;
    this.probeIntervalUs = 2 * this.context.syncMaxUs;
    this.probeUs = nowUs + this.probeIntervalUs;
    this.context.broadcast(MessageType.Commit, this.commitBody());
  }

  onTimer(nowUs: number): void {
    if (nowUs >= this.syncDueUs()) this.syncNow(nowUs);
    if (nowUs >= this.probeDueUs()) this.probe(nowUs);
  }

  get deadlineUs(): number {
    return Math.min(this.syncDueUs(), this.probeDueUs());
  }

  private commitBody(): Uint8Array {
    const { data } = this.context;
    return encodePosition({ view: data.view, seqno: data.committed, hash: data.hashAt(data.committed) });
  }

  /** Whether a superquorum is known to share more than what is committed. */
  private commitMatched(nowUs: number): boolean {
    const seqno = this.superquorumSeqno();
    if (seqno <= this.context.data.committed) return false;
    this.context.data.commitTo(seqno);
    this.host.committed(nowUs);
    this.announceCommit(nowUs);
    return true;
  }

  /** The highest seqno that a superquorum, this replica included, is known to share. */
  private superquorumSeqno(): number {
    this.matched[this.context.replica] = this.context.data.durableEnd;
    return [...this.matched].sort((a, b) => b - a)[this.context.superquorum - 1] as number;
  }

  private syncDueUs(): number {
    const { data } = this.context;
    if (data.committed >= data.logEnd) return Number.POSITIVE_INFINITY;
    // Half a period for the wait, half for the round trip. What was covered by a SYNC and is still uncommitted is asked for again.
    const resendUs = data.committed < this.syncedTo ? this.syncedUs + this.context.resendUs : Number.POSITIVE_INFINITY;
    return Math.min(this.uncoveredUs + this.periodUs / 2, resendUs);
  }

  /**
   * A short period keeps the speculative suffix short, since its length is what a reconciliation costs; it costs the leader a tenth of
   * its time. So it goes down all the way only while reconciliations follow each other closely: a suffix of a few thousand entries takes
   * as long as ten SYNCs.
   */
  private shortestUs(nowUs: number): number {
    const { syncMinUs, syncMaxUs } = this.context;
    return nowUs - this.enteredUs < CalmAfterUs ? syncMinUs : Math.min(syncMaxUs, CalmFactor * syncMinUs);
  }

  private lags(replica: number): boolean {
    return replica !== this.context.replica && (this.matched[replica] as number) < this.context.data.committed;
  }

  /** A replica outside the superquorum may have missed the last entries, or the view; in a quiet group nothing else would tell it. */
  private probeDueUs(): number {
    return this.matched.some((_, replica) => this.lags(replica)) ? this.probeUs : Number.POSITIVE_INFINITY;
  }

  private probe(nowUs: number): void {
    const { data } = this.context;
    const body = encodeSync({ view: data.view, seqno: data.committed });
    this.matched.forEach((_, replica) => {
      if (this.lags(replica)) this.context.send(replica, MessageType.Sync, body);
    });
    this.probeIntervalUs = Math.min(LongestProbeUs, this.probeIntervalUs * 2);
    this.probeUs = nowUs + this.probeIntervalUs;
  }
}
