/**
 * Synchronization within a SPECULATIVE view: the two halves and the clock of uncommitted entries; and complaints, in views of all modes.
 */
import { Mode, ReplicaStatus } from "../data/binding.js";
import { Complaints } from "./complaints.js";
import type { Context } from "./context.js";
import type { LeaderView } from "./leader-view.js";
import type { PositionMessage, SyncMessage } from "./messages.js";
import { SyncFollower } from "./sync-follower.js";
import { SyncLeader } from "./sync-leader.js";

export interface SyncHost {
  /** Leaves the view; `reason` is for operators. */
  reconcile(nowUs: number, reason: string): void;
  /** The committed seqno rose. */
  committed(nowUs: number): void;
  fail(message: string): void;
}

const Never = Number.POSITIVE_INFINITY;

export class Sync {
  private readonly context: Context;
  private readonly host: SyncHost;
  readonly leader: SyncLeader;
  private readonly follower: SyncFollower;
  private readonly complaints: Complaints;
  private readonly leaderView: LeaderView;
  /** Entries up to here were uncommitted at markUs. */
  private mark = 0;
  private markUs = Never;
  private nudgedUs = 0;
  /** A complaint about an entry that must be committed by watchUs. */
  private watched = 0;
  private watchUs = Never;
  /** LEADER views: how near to it the others were when the watch began, or was prolonged. */
  private reach: number[] = [];

  constructor(context: Context, host: SyncHost, leaderView: LeaderView) {
    this.context = context;
    this.leaderView = leaderView;
    this.host = host;
    this.leader = new SyncLeader(context, host);
    this.follower = new SyncFollower(context, host);
    this.complaints = new Complaints(context.syncMaxUs);
  }

  /** In LEADER and FAST views the data plane commits. */
  private get synchronizes(): boolean {
    const { status, mode } = this.context.data;
    return status === ReplicaStatus.Normal && mode === Mode.Speculative;
  }

  /** What a client sent to this backup and not to the leader of a FAST view is nobody's, if that client is gone. */
  private get waits(): boolean {
    const { status, mode } = this.context.data;
    return status === ReplicaStatus.Normal && mode === Mode.Fast && !this.context.leads;
  }

  /** A view was entered. */
  reset(nowUs: number): void {
    this.leader.reset(nowUs);
    this.follower.reset(nowUs);
    this.markUs = Never;
    this.mark = 0;
    this.nudgedUs = nowUs;
    this.watchUs = Never;
    this.onProgress(nowUs);
  }

  /** The log grew. */
  onProgress(nowUs: number): void {
    if (this.synchronizes || this.waits) this.moveMark(nowUs);
    if (!this.synchronizes) return;
    if (this.context.leads) this.leader.onProgress(nowUs);
    else this.follower.onProgress(nowUs);
  }

  /** More of the own log is on disk. */
  onDurable(nowUs: number): void {
    if (this.synchronizes && this.context.leads) this.leader.onDurable(nowUs);
  }

  /** The log end that the next onProgress must not miss. */
  get progressSeqno(): number {
    const { data } = this.context;
    if (this.waits) return this.markUs === Never ? data.logEnd + 1 : Never;
    if (data.mode !== Mode.Speculative) return Never;
    if (!this.synchronizes || this.markUs === Never) return data.logEnd + 1;
    return this.context.leads ? this.leader.progressSeqno : this.follower.progressSeqno;
  }

  onSync(nowUs: number, message: SyncMessage): void {
    if (this.synchronizes) this.follower.onSync(nowUs, message);
  }

  onSyncReply(nowUs: number, from: number, message: PositionMessage): void {
    if (this.synchronizes) this.leader.onReply(nowUs, from, message);
  }

  onCommit(nowUs: number, message: PositionMessage): void {
    this.follower.onCommit(nowUs, message);
  }

  /** The committed seqno rose. */
  onCommitted(nowUs: number): void {
    if (this.synchronizes || this.waits) this.moveMark(nowUs);
    if (this.context.data.committed >= this.watched) this.watchUs = Never;
  }

  /** A client misses the commit of the entry at `seqno` (0: of a request that is not in the log). */
  onComplaint(nowUs: number, session: number, seqno: number): void {
    const { data } = this.context;
    if (data.status !== ReplicaStatus.Normal || !this.complaints.allow(nowUs, session)) return;
    if (this.context.leads) {
      if (data.mode !== Mode.Speculative) this.leaderView.onComplaint(nowUs);
      else this.leader.syncNow(nowUs);
      return;
    }
    if (data.mode === Mode.Speculative) this.follower.nudge();
    if (seqno <= data.committed || seqno > data.logEnd || this.watchUs !== Never) return;
    this.watched = seqno;
    this.watchUs = nowUs + this.context.syncTimeoutUs;
    this.reach = this.leaderView.reach(seqno);
  }

  onTimer(nowUs: number): void {
    if (this.context.data.status !== ReplicaStatus.Normal) return;
    // The data plane commits without a word to anybody here.
    if (this.waits) this.moveMark(nowUs);
    if (nowUs >= this.watchUs && this.othersCatchUp()) this.watchUs = nowUs + this.context.syncTimeoutUs;
    if (nowUs >= this.silenceUs()) this.host.reconcile(nowUs, this.silence());
    else if (nowUs >= this.watchUs) this.host.reconcile(nowUs, "a client's complaint was not answered by a commit");
    else if (!this.synchronizes) return;
    else if (this.context.leads) this.leader.onTimer(nowUs);
    else this.onFollowerTimer(nowUs);
  }

  /**
   * In a LEADER view an entry may wait for replicas that are far behind: without them there is no majority, and in another view they would
   * have to come as far.
   */
  private othersCatchUp(): boolean {
    if (this.context.data.mode !== Mode.Leader) return false;
    const before = this.reach;
    this.reach = this.leaderView.reach(this.watched);
    return this.reach.some((seqno, replica) => seqno > (before[replica] ?? 0) || seqno === Number.POSITIVE_INFINITY);
  }

  private onFollowerTimer(nowUs: number): void {
    if (nowUs >= this.nudgeUs()) {
      this.nudgedUs = nowUs;
      this.follower.nudge();
    }
    this.follower.onTimer(nowUs);
  }

  get deadlineUs(): number {
    if (this.context.data.status !== ReplicaStatus.Normal) return Never;
    const common = Math.min(this.silenceUs(), this.watchUs);
    if (!this.synchronizes) return common;
    if (this.context.leads) return Math.min(common, this.leader.deadlineUs);
    return Math.min(common, this.nudgeUs(), this.follower.deadlineUs);
  }

  /** Time that passed while this process stood still counts for nobody. */
  forgive(lateUs: number): void {
    this.markUs += lateUs;
    this.watchUs += lateUs;
    this.follower.forgive(lateUs);
  }

  private moveMark(nowUs: number): void {
    const { data } = this.context;
    if (data.committed >= data.logEnd) {
      this.markUs = Never;
    } else if (this.markUs === Never || data.committed >= this.mark) {
      this.mark = data.logEnd;
      this.markUs = nowUs;
    }
  }

  /** When uncommitted entries have waited too long. A follower waits longer for a leader that it still hears: that one has its own clock. */
  private silenceUs(): number {
    if (this.waits) return this.markUs + 2 * this.context.syncTimeoutUs;
    const dueUs = this.markUs + this.context.syncTimeoutUs;
    if (this.context.leads || dueUs === Never) return dueUs;
    const heardUs = this.follower.heardUs + this.context.syncTimeoutUs;
    return Math.max(dueUs, Math.min(heardUs, dueUs + this.context.syncTimeoutUs));
  }

  private silence(): string {
    if (this.waits) return "the leader did not commit what is in the log";
    return this.context.leads ? "no superquorum answered in time" : "the leader was silent";
  }

  /** By now a COMMIT should have come. */
  private nudgeUs(): number {
    if (this.markUs === Never) return Never;
    const patienceUs = Math.min(this.context.syncMaxUs / 2 + this.context.resendUs, this.context.syncTimeoutUs * 0.6);
    return Math.max(this.markUs + patienceUs, this.nudgedUs + this.context.resendUs);
  }
}
