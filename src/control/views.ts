/** From view to view: which one comes next, when it is given up, and what is known of leaders that did not answer. */
import { MessageType, Mode, ReplicaStatus } from "../data/binding.js";
import type { Announcer, InViewSender } from "./announce.js";
import type { Context } from "./context.js";
import type { Heartbeats } from "./heartbeat.js";
import { HeartbeatFlag, type HeartbeatMessage } from "./heartbeat-message.js";
import type { Installer } from "./install.js";
import { encodeStartViewRequest } from "./messages.js";
import type { ModePolicy } from "./mode.js";
import type { Reconciliation } from "./reconcile.js";
import type { SnapshotFetch } from "./snapshot-fetch.js";

const Never = Number.POSITIVE_INFINITY;
/** Reconciliations for replicas that recover are started no more often ... */
const RecoveryPeriodUs = 200_000;
/** ... and while others are still on their way into this view they would begin from the start. */
const UnenteredPeriodUs = 2_000_000;

/** While logs are exchanged a view is given up only after so many detection times in which nothing came. */
const ExchangeDetections = 2;

export interface ViewParts {
  heartbeats: Heartbeats;
  policy: ModePolicy;
  installer: Installer;
  announcer: Announcer;
  inView: InViewSender;
  reconciliation: Reconciliation;
  snapshots: SnapshotFetch;
}

export class Views {
  private readonly context: Context;
  private readonly parts: ViewParts;
  /** Leaders whose views came to nothing, with the view, until they are seen in a view again. */
  private readonly givenUp = new Map<number, number>();
  /** Views entered since the last commit: the time-outs grow with it. */
  failedViews = 0;
  /** Why the last reconciliation was started here; "" before the first, or when it was joined. */
  lastReason = "";
  /** The view that this replica started in order to go back to SPECULATIVE. */
  private wantedView = -1;
  private enteredUs = 0;
  /** When the view under reconciliation is given up. */
  private giveUpUs = Never;
  private requestUs = Number.NEGATIVE_INFINITY;

  constructor(context: Context, parts: ViewParts) {
    this.context = context;
    this.parts = parts;
  }

  /** A replica sent something that shows it takes part. */
  heard(from: number): void {
    this.givenUp.delete(from);
  }

  /** Being heard is not enough for a leader that was given up: it may be deaf. It must have got into a view. */
  onHeartbeat(from: number, message: HeartbeatMessage): void {
    const view = this.givenUp.get(from);
    if (view !== undefined && message.view >= view && (message.flags & HeartbeatFlag.Normal) !== 0) this.givenUp.delete(from);
  }

  /** Replicas that lead no view now. */
  get skipped(): number[] {
    return [...new Array(this.context.n).keys()].filter((replica) => this.skips(replica));
  }

  /** Whether this reconciliation is for going back to SPECULATIVE. */
  wantsSpeculative(view: number): boolean {
    return view === this.wantedView;
  }

  /** Leaves the view in status NORMAL. */
  start(nowUs: number, reason: string): void {
    this.enter(nowUs, this.nextView(), true, reason);
  }

  /** For a view later than `view`. */
  leave(nowUs: number, view: number): void {
    this.enter(nowUs, view + 1, true, `joined when view ${view} was under way`);
  }

  /** `replica` recovers and needs a reconciliation; one serves all that do, and none can make the group thrash. */
  recover(nowUs: number, replica: number): void {
    const periodUs = this.parts.announcer.awaitsQuorum ? UnenteredPeriodUs : RecoveryPeriodUs;
    if (nowUs - this.enteredUs < periodUs) return;
    this.start(nowUs, `replica ${replica} recovers`);
  }

  /** The leader of a LEADER view stays leader: everybody is known to hear it, and it hears everybody. */
  returnToSpeculative(nowUs: number): void {
    this.wantedView = this.context.data.view + this.context.n;
    this.enter(nowUs, this.wantedView, true, "the order of requests holds again");
  }

  /** `reason` is "" where others began it. */
  enter(nowUs: number, view: number, announce: boolean, reason = ""): void {
    this.lastReason = reason;
    const { data } = this.context;
    const { policy, installer, announcer, inView, reconciliation, snapshots } = this.parts;
    policy.left(nowUs, data.logEnd);
    data.freeze(view);
    installer.cancel();
    snapshots.stop();
    announcer.stop();
    inView.stop();
    this.giveUpUs = nowUs + this.context.reconciliationTimeoutUs(this.failedViews);
    this.failedViews++;
    reconciliation.enter(nowUs, view, announce);
  }

  installed(nowUs: number): void {
    this.giveUpUs = Never;
    this.enteredUs = nowUs;
  }

  committed(): void {
    if (this.context.data.status === ReplicaStatus.Normal) this.failedViews = 0;
  }

  /** Logs are being exchanged: no reason to give up the view before one that takes part could be found silent. */
  prolong(nowUs: number): void {
    const { detectUs } = this.context;
    this.giveUpUs = Math.max(this.giveUpUs, nowUs + Math.max(this.context.reconciliationTimeoutUs(0), ExchangeDetections * detectUs));
  }

  request(nowUs: number, from: number, view: number): void {
    if (nowUs - this.requestUs < this.context.resendUs) return;
    this.requestUs = nowUs;
    this.context.send(from, MessageType.StartViewRequest, encodeStartViewRequest(view));
  }

  /** `replica` fell silent. */
  onSilent(nowUs: number, replica: number): void {
    this.onMissing(nowUs, replica, "is silent");
  }

  /** The machine of `replica` failed alone. */
  onHalted(nowUs: number, replica: number): void {
    this.onMissing(nowUs, replica, "is halted");
  }

  private onMissing(nowUs: number, replica: number, why: string): void {
    const { data, superquorum } = this.context;
    if (data.status !== ReplicaStatus.Normal || data.mode !== Mode.Speculative || replica === this.context.leaderOf(data.view)) return;
    // Once for each loss: a group that stays SPECULATIVE without a superquorum goes on as it can.
    if (this.parts.heartbeats.able === superquorum - 1) this.start(nowUs, `replica ${replica} ${why}: no superquorum is left`);
  }

  onTimer(nowUs: number): void {
    const { status, view } = this.context.data;
    if (status === ReplicaStatus.Normal) {
      const leader = this.context.leaderOf(view);
      const why = this.parts.heartbeats.isHalted(leader) ? "halted" : "silent";
      if (nowUs >= this.leaderLostUs()) this.start(nowUs, `replica ${leader}, the leader, is ${why}`);
    } else if (status === ReplicaStatus.Reconciliation && nowUs >= this.giveUpUs) {
      this.giveUp(nowUs);
    }
  }

  /** Nobody waits for the START-VIEW of a leader that is silent, once it is clear that others wait for it too. */
  skipSilent(nowUs: number): void {
    const { data, f, replica } = this.context;
    if (data.status !== ReplicaStatus.Reconciliation || this.parts.reconciliation.heard.size < f) return;
    const leader = this.context.leaderOf(data.view);
    if (leader === replica || !this.parts.heartbeats.isSilent(leader)) return;
    const next = this.nextView();
    if (this.skips(this.context.leaderOf(next))) return;
    this.enter(nowUs, next, true, `replica ${leader}, who should lead view ${data.view}, is silent`);
  }

  get deadlineUs(): number {
    const { status } = this.context.data;
    return status === ReplicaStatus.Normal ? this.leaderLostUs() : this.giveUpUs;
  }

  forgive(lateUs: number): void {
    this.giveUpUs += lateUs;
    this.enteredUs += lateUs;
  }

  private leaderLostUs(): number {
    const { data, n, leads } = this.context;
    if (n === 1 || leads) return Never;
    return this.parts.heartbeats.lostUs(this.context.leaderOf(data.view), this.enteredUs, data.mode !== Mode.Speculative);
  }

  private skips(replica: number): boolean {
    return replica !== this.context.replica && (this.givenUp.has(replica) || !this.parts.heartbeats.isAble(replica));
  }

  /** The next view whose leader is not known to be silent or halted. */
  private nextView(): number {
    const { n, data } = this.context;
    for (let view = data.view + 1; view < data.view + n; view++) {
      if (!this.skips(this.context.leaderOf(view))) return view;
    }
    return data.view + 1;
  }

  /** No START-VIEW in time. Without f others in this view its leader isn't to blame, and a higher view would only disturb them later. */
  private giveUp(nowUs: number): void {
    const { data, f, leads } = this.context;
    if (this.parts.reconciliation.heard.size < f) {
      this.giveUpUs = nowUs + this.context.reconciliationTimeoutUs(this.failedViews);
      return;
    }
    if (!leads) this.givenUp.set(this.context.leaderOf(data.view), data.view);
    this.enter(nowUs, this.nextView(), true, `view ${data.view} did not start in time`);
  }
}
