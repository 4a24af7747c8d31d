/**
 * Synchronization, the followers' half: a SYNC is answered once the log has its seqno, a COMMIT applied once the log has its entries.
 * A replica that does not get there in time, or hears nothing of the leader, calls for a reconciliation.
 */
import { MessageType, Mode, ReplicaStatus } from "../data/binding.js";
import { type Context, equalBytes } from "./context.js";
import { encodePosition, type PositionMessage, type SyncMessage } from "./messages.js";
import type { SyncHost } from "./sync.js";

/** A SYNC or a COMMIT for entries that are not here yet. */
interface Awaited {
  seqno: number;
  commitHash: Uint8Array | undefined;
  sinceUs: number;
}

// More need no memory: the leader repeats itself.
const MaxAwaited = 8;

export class SyncFollower {
  private readonly context: Context;
  private readonly host: SyncHost;
  private awaited: Awaited[] = [];
  /** The last SYNC or COMMIT from this view's leader. */
  heardUs = 0;

  constructor(context: Context, host: SyncHost) {
    this.context = context;
    this.host = host;
  }

  reset(nowUs: number): void {
    this.awaited = [];
    this.heardUs = nowUs;
  }

  onSync(nowUs: number, message: SyncMessage): void {
    this.heardUs = nowUs;
    if (message.seqno <= this.context.data.logEnd) this.reply(message.seqno);
    else this.await({ seqno: message.seqno, commitHash: undefined, sinceUs: nowUs });
  }

  /** Tells the leader how far the own log reaches: it answers with the COMMIT that was lost, or sees that the logs differ. */
  nudge(): void {
    this.reply(this.context.data.logEnd);
  }

  onProgress(nowUs: number): void {
    const { data } = this.context;
    while (this.awaited.length > 0 && (this.awaited[0] as Awaited).seqno <= data.logEnd && data.status === ReplicaStatus.Normal) {
      const { seqno, commitHash } = this.awaited.shift() as Awaited;
      if (commitHash) this.onCommit(nowUs, { view: data.view, seqno, hash: commitHash });
      else this.reply(seqno);
    }
  }

  /** Applies COMMIT of views up to v_l; the caller has dealt with later ones. */
  onCommit(nowUs: number, message: PositionMessage): void {
    const { data } = this.context;
    const { view, seqno, hash } = message;
    if (seqno < data.logBase) return;
    const current = view === data.view && data.status === ReplicaStatus.Normal;
    if (current) this.heardUs = nowUs;
    const present = seqno <= data.logEnd;
    if (present && equalBytes(hash, data.hashAt(seqno))) {
      if (seqno <= data.committed) return;
      data.commitTo(seqno);
      this.host.committed(nowUs);
      return;
    }
    // The log a view starts with contains everything that earlier views committed.
    const impossible = view < data.lastNormalView || (current && present && data.mode === Mode.Leader);
    if (impossible || (present && seqno <= data.committed)) {
      this.host.fail(`COMMIT of view ${view} at ${seqno} conflicts with the log of view ${data.lastNormalView}`);
    } else if (current && present && data.mode === Mode.Fast) {
      // The leader's FAST-PREPARE is to replace it.
    } else if (current && present) {
      this.host.reconcile(nowUs, `the leader committed another entry at ${seqno}`);
    } else if (current && data.mode === Mode.Speculative) {
      this.await({ seqno, commitHash: hash, sinceUs: nowUs });
    }
  }

  get progressSeqno(): number {
    return this.awaited[0]?.seqno ?? Number.POSITIVE_INFINITY;
  }

  onTimer(nowUs: number): void {
    const first = this.awaited[0];
    if (first && nowUs >= this.deadlineUs) this.host.reconcile(nowUs, `entry ${first.seqno} did not arrive`);
  }

  get deadlineUs(): number {
    const first = this.awaited[0];
    return first ? first.sinceUs + this.context.syncTimeoutUs : Number.POSITIVE_INFINITY;
  }

  /** Time that passed while this process stood still counts for nobody. */
  forgive(lateUs: number): void {
    this.heardUs += lateUs;
    for (const awaited of this.awaited) awaited.sinceUs += lateUs;
  }

  private await(awaited: Awaited): void {
    if (this.awaited.some((other) => other.seqno === awaited.seqno && !other.commitHash === !awaited.commitHash)) return;
    // The oldest stays: its age tells whether the entries come at all.
    if (this.awaited.length === MaxAwaited) this.awaited.pop();
    this.awaited.push(awaited);
    this.awaited.sort((a, b) => a.seqno - b.seqno);
  }

  private reply(seqno: number): void {
    const { data } = this.context;
    if (seqno < data.logBase) return;
    const body = encodePosition({ view: data.view, seqno, hash: data.hashAt(seqno) });
    this.context.send(this.context.leaderOf(data.view), MessageType.SyncReply, body);
  }
}
