/**
 * The control plane of one replica: decides views, modes, commits and merges. Pure: frames, time, the log's growth and checkpoints come in,
 * verbs of the DataPlane and frames go out; all times in microseconds.
 */
import { Mode, ReplicaStatus } from "../data/binding.js";
import { Announcer, InViewSender } from "./announce.js";
import { CatchUp } from "./catch-up.js";
import { Checkpoints } from "./checkpoints.js";
import { Context, type ControlPlaneConfig } from "./context.js";
import type { DataPlane } from "./data-plane.js";
import { Heartbeats } from "./heartbeat.js";
import { Installer } from "./install.js";
import { LeaderView } from "./leader-view.js";
import { type FetchReplyMessage, MaxReplicas } from "./messages.js";
import { ModePolicy } from "./mode.js";
import { Receiver } from "./receiver.js";
import { Reconciliation } from "./reconcile.js";
import { Recovery, type RecoveryState } from "./recovery.js";
import type { Snapshot } from "./snapshot.js";
import { SnapshotFetch } from "./snapshot-fetch.js";
import type { FetchSnapshotMessage } from "./snapshot-messages.js";
import { Sync } from "./sync.js";
import { type ViewStart, ViewStarts } from "./view-start.js";
import { Views } from "./views.js";

export type { ControlPlaneConfig } from "./context.js";

const Never = Number.POSITIVE_INFINITY;

/** What `squall status` shows of the control plane. */
export interface ControlPlaneSnapshot {
  readonly leader: number;
  /** Present period of SYNC, in us. */
  readonly syncPeriodUs: number;
  /** Views entered since the last commit: the time-outs grow with it. */
  readonly failedViews: number;
  /** Replicas that are silent or halted, or whose views came to nothing; their views are skipped. */
  readonly silent: readonly number[];
  /** Replicas that are silent. */
  readonly unheard: readonly number[];
  /** Why the last reconciliation was started here; "" before the first, or when it was joined. */
  readonly lastReason: string;
  readonly failed: boolean;
  readonly incarnation: number;
  /** Of the frames to the others: the newest that all of them understand. */
  readonly wireVersion: number;
  /** Where the recovery of a replica without memory stands; undefined once it takes part. */
  readonly recovery: RecoveryState | undefined;
}

export class ControlPlane {
  private readonly context: Context;
  private readonly data: DataPlane;
  private readonly sync: Sync;
  private readonly starts: ViewStarts;
  private readonly announcer: Announcer;
  private readonly inView: InViewSender;
  private readonly installer: Installer;
  private readonly reconciliation: Reconciliation;
  private readonly heartbeats: Heartbeats;
  private readonly policy: ModePolicy;
  private readonly leaderView: LeaderView;
  private readonly views: Views;
  private readonly checkpoints: Checkpoints;
  private readonly snapshots: SnapshotFetch;
  private readonly receiver: Receiver;
  private readonly recovery: Recovery;
  private failed = false;
  private started = false;
  private committedSeqno = 0;
  /** When the control plane last ran. */
  private ranUs = 0;
  /** The verbs may call back (a batch ends within one); such calls are not lost, what they bring is seen at the end. */
  private busy = false;
  private grewMeanwhile = false;
  private readonly postponed: ((nowUs: number) => void)[] = [];

  /** Throws RangeError unless 0 <= replica < n and n is odd. */
  constructor(config: ControlPlaneConfig, data: DataPlane) {
    const { replica, n } = config;
    if (!Number.isInteger(n) || n < 1 || n > MaxReplicas || n % 2 === 0) throw new RangeError(`a group of ${n} replicas`);
    if (!Number.isInteger(replica) || replica < 0 || replica >= n) throw new RangeError(`replica ${replica} of ${n}`);
    this.data = data;
    this.context = new Context(config, data);
    const context = this.context;
    const host = {
      reconcile: (nowUs: number, reason: string) => this.startReconciliation(nowUs, reason),
      committed: (nowUs: number) => this.committed(nowUs),
      installed: (nowUs: number, start: ViewStart) => this.installed(nowUs, start),
      fail: (message: string) => this.fail(message),
      silent: (nowUs: number, silent: number) => this.views.onSilent(nowUs, silent),
      halted: (nowUs: number, halted: number) => this.views.onHalted(nowUs, halted),
      checkpoint: () => this.checkpoints.newest,
      restored: (nowUs: number, snapshot: Snapshot) => this.restored(nowUs, snapshot),
      requestView: (nowUs: number, from: number, view: number) => this.views.request(nowUs, from, view),
      returnToSpeculative: (nowUs: number) => this.views.returnToSpeculative(nowUs),
      chooseMode: (nowUs: number, view: number, last: Mode, heard: ReadonlySet<number>) =>
        this.policy.choose(nowUs, last, this.answering(heard), this.views.wantsSpeculative(view)),
      expectsMore: (heard: ReadonlySet<number>) => this.expectsMore(heard),
    };
    this.policy = new ModePolicy(config.mode ?? "adaptive", context.superquorum, config.modeTuning);
    this.heartbeats = new Heartbeats(context, host);
    this.leaderView = new LeaderView(context, this.heartbeats, this.policy, host);
    this.sync = new Sync(context, host, this.leaderView);
    this.starts = new ViewStarts(context);
    this.announcer = new Announcer(context, this.starts, this.sync, host);
    this.inView = new InViewSender(context, this.starts);
    this.checkpoints = new Checkpoints(context, host);
    this.snapshots = new SnapshotFetch(context);
    this.installer = new Installer(context, host, this.snapshots);
    this.reconciliation = new Reconciliation(context, host, this.snapshots);
    const parts = {
      heartbeats: this.heartbeats,
      policy: this.policy,
      sync: this.sync,
      starts: this.starts,
      installer: this.installer,
      announcer: this.announcer,
      inView: this.inView,
      reconciliation: this.reconciliation,
      leaderView: this.leaderView,
      checkpoints: this.checkpoints,
      snapshots: this.snapshots,
      catchUp: new CatchUp(context, host, this.snapshots),
    };
    this.recovery = new Recovery(context, host, this.installer, this.snapshots);
    this.views = new Views(context, parts);
    this.receiver = new Receiver(context, { ...parts, views: this.views }, host);
  }

  get snapshot(): ControlPlaneSnapshot {
    return {
      leader: this.context.leaderOf(this.data.view),
      syncPeriodUs: this.sync.leader.periodUs,
      failedViews: this.views.failedViews,
      silent: this.views.skipped,
      unheard: this.heartbeats.silent,
      lastReason: this.views.lastReason,
      failed: this.failed,
      incarnation: this.context.incarnation,
      wireVersion: this.heartbeats.version,
      recovery: this.recovers ? this.recovery.state : undefined,
    };
  }

  /** A control frame from replica `from`; `body` is only read during the call. False: malformed, or not this replica's role. */
  onFrame(nowUs: number, from: number, type: number, body: Uint8Array): boolean {
    if (!Number.isInteger(from) || from < 0 || from >= this.context.n || from === this.context.replica) return false;
    let applicable = true;
    if (this.recovers) {
      this.enter(nowUs, () => {
        applicable = this.recovery.onFrame(nowUs, from, type, body);
      });
    } else if (this.runs) {
      this.enter(nowUs, () => {
        applicable = this.receiver.onFrame(nowUs, from, type, body);
      });
    }
    return applicable;
  }

  onTimer(nowUs: number): void {
    if (this.recovers) this.enter(nowUs, () => this.recovery.onTimer(nowUs));
    else if (this.runs) this.enter(nowUs, () => this.onTimers(nowUs));
  }

  /** A checkpoint was taken here, and its digest is known. */
  onCheckpoint(nowUs: number, snapshot: Snapshot): void {
    this.enterOrPostpone(nowUs, (atUs) => this.checkpoints.taken(atUs, snapshot));
  }

  /** The answer to DataPlane.verify, where that one put it off. */
  onVerified(nowUs: number, snapshot: Snapshot, valid: boolean): void {
    this.enterOrPostpone(nowUs, (atUs) => this.snapshots.onVerified(atUs, snapshot, valid));
  }

  /** What DataPlane.hashLater put off: the message, now with its records' hashes. */
  onHashed(nowUs: number, from: number, message: FetchReplyMessage): void {
    this.enterOrPostpone(nowUs, (atUs) => {
      if (this.recovers) this.recovery.onFetchReply(atUs, from, message);
      else if (this.runs) this.receiver.onFetchReply(atUs, from, message);
    });
  }

  /** A client misses the commit of the entry at `seqno` (0: of a request that is not in the log). */
  onComplaint(nowUs: number, session: number, seqno: number): void {
    if (this.runs) this.enter(nowUs, () => this.sync.onComplaint(nowUs, session, seqno));
  }

  /** The group is to reconcile: the epoch is to end. Without effect unless the replica is in a view. */
  reconfigure(nowUs: number): void {
    if (this.runs) this.enter(nowUs, () => this.startReconciliation(nowUs, "another configuration was asked for"));
  }

  /** The replica came back from its disk, in RECONCILIATION for the view that it was in: it goes on like one that was slow. */
  resume(nowUs: number): void {
    if (this.runs) this.enter(nowUs, () => this.views.enter(nowUs, this.data.view + 1, true, "started again from disk"));
  }

  get incarnation(): number {
    return this.context.incarnation;
  }
  get vector(): readonly number[] {
    return this.context.vector;
  }

  /** What answers a FETCH-SNAPSHOT of member `from`, which is not in this epoch yet; undefined: nothing. */
  chunkFor(nowUs: number, from: number, message: FetchSnapshotMessage): Uint8Array | undefined {
    return this.runs && from < this.context.n ? this.checkpoints.chunkFor(nowUs, from, message) : undefined;
  }

  /** More of the log is on disk. */
  onDurable(nowUs: number): void {
    if (this.runs) this.enter(nowUs, () => this.sync.onDurable(nowUs));
  }

  /** Leaves its view for one later than `view`: part of the state was committed up to there. */
  leave(nowUs: number, view: number): void {
    if (this.runs) this.enter(nowUs, () => this.views.leave(nowUs, view));
  }

  /** The log grew, or the replica was bootstrapped. */
  onProgress(nowUs: number): void {
    if (this.busy) this.grewMeanwhile = true;
    else if (this.runs) this.enter(nowUs, () => this.grew(nowUs));
  }

  /** The log end from which onProgress must be called again; growth below it changes nothing here. */
  progressSeqno(): number {
    if (this.data.mode === Mode.Speculative) return this.sync.progressSeqno;
    return Math.min(this.leaderView.progressSeqno, this.sync.progressSeqno);
  }

  /** When onTimer is due; Infinity while idle. */
  nextDeadlineUs(): number {
    if (this.recovers) return this.recovery.deadlineUs;
    if (!this.runs) return Never;
    if (!this.started) return 0;
    const common = Math.min(this.heartbeats.deadlineUs, this.views.deadlineUs, this.snapshots.deadlineUs, this.checkpoints.deadlineUs);
    if (this.data.status === ReplicaStatus.Normal) {
      return Math.min(common, this.leaderView.deadlineUs, this.sync.deadlineUs, this.inView.deadlineUs, this.announcer.deadlineUs);
    }
    return Math.min(common, this.installer.deadlineUs, this.reconciliation.deadlineUs);
  }

  private onTimers(nowUs: number): void {
    this.heartbeats.onTimer(nowUs);
    if (this.data.status === ReplicaStatus.Normal) this.policy.observe(nowUs, this.data.logEnd);
    this.views.onTimer(nowUs);
    this.leaderView.onTimer(nowUs);
    this.sync.onTimer(nowUs);
    this.inView.onTimer(nowUs);
    this.announcer.onTimer(nowUs);
    this.installer.onTimer(nowUs);
    this.reconciliation.onTimer(nowUs);
    this.snapshots.onTimer(nowUs);
    this.checkpoints.onTimer(nowUs);
  }

  /** Without memory, and in no view yet. */
  private get recovers(): boolean {
    return !this.failed && this.data.status === ReplicaStatus.Recovery && this.context.n > 1;
  }

  private get runs(): boolean {
    const { status } = this.data;
    return !this.failed && (status === ReplicaStatus.Normal || status === ReplicaStatus.Reconciliation);
  }

  private enterOrPostpone(nowUs: number, action: (nowUs: number) => void): void {
    if (this.busy) this.postponed.push(action);
    else if (this.runs || this.recovers) this.enter(nowUs, () => action(nowUs));
  }

  private enter(nowUs: number, action: () => void): void {
    if (this.busy) return;
    this.busy = true;
    try {
      if (this.runs && !this.started) this.start(nowUs);
      else if (this.runs) this.forgiveStall(nowUs);
      action();
      for (let next = this.postponed.shift(); next; next = this.postponed.shift()) if (!this.failed) next(nowUs);
      if (this.runs) this.settle(nowUs);
    } finally {
      this.ranUs = nowUs;
      this.busy = false;
      this.grewMeanwhile = false;
    }
  }

  /** What happened within the verbs is seen here. */
  private settle(nowUs: number): void {
    if (this.grewMeanwhile) this.grew(nowUs);
    if (this.data.committed > this.committedSeqno) this.committed(nowUs);
    this.views.skipSilent(nowUs);
  }

  private start(nowUs: number): void {
    this.started = true;
    this.heartbeats.start(nowUs);
    this.views.installed(nowUs);
    this.policy.entered(nowUs, this.data.mode as Mode, this.data.logEnd);
    this.leaderView.reset(nowUs);
  }

  private grew(nowUs: number): void {
    this.sync.onProgress(nowUs);
    this.leaderView.onProgress(nowUs);
  }

  /**
   * Called long after a deadline, this process itself stood still: what the others sent meanwhile waits to be read, so nobody is
   * judged silent yet.
   */
  private forgiveStall(nowUs: number): void {
    const lateUs = nowUs - Math.max(this.nextDeadlineUs(), this.ranUs);
    if (lateUs <= this.context.resendUs) return;
    this.sync.forgive(lateUs);
    this.views.forgive(lateUs);
    this.heartbeats.forgive(lateUs);
  }

  private startReconciliation(nowUs: number, reason: string): void {
    if (this.data.status === ReplicaStatus.Normal && !this.failed) this.views.start(nowUs, reason);
  }

  /** Whether waiting for more replicas than `heard` can keep the next view SPECULATIVE. */
  private expectsMore(heard: ReadonlySet<number>): boolean {
    const { n, replica: self, superquorum } = this.context;
    if (!this.policy.adaptive || this.answering(heard) >= superquorum) return false;
    for (let replica = 0; replica < n; replica++) {
      if (replica !== self && !heard.has(replica) && this.heartbeats.isAble(replica)) return true;
    }
    return false;
  }

  /** Of this replica and the others that take part in a reconciliation, those that will answer clients in the next view. */
  private answering(heard: ReadonlySet<number>): number {
    return 1 + [...heard].filter((replica) => !this.heartbeats.isHalted(replica)).length;
  }

  private restored(nowUs: number, snapshot: Snapshot): void {
    this.snapshots.discard();
    this.checkpoints.adopted(snapshot);
    this.committed(nowUs);
  }

  private installed(nowUs: number, start: ViewStart): void {
    if (!this.started) {
      this.start(nowUs);
      this.data.event({ type: "recovered", incarnation: this.context.incarnation });
    }
    this.snapshots.stop();
    this.context.fetched.clear();
    this.checkpoints.settle(nowUs);
    this.views.installed(nowUs);
    this.policy.entered(nowUs, start.mode as Mode, this.data.logEnd);
    this.starts.installed(nowUs, start);
    this.sync.reset(nowUs);
    this.leaderView.reset(nowUs);
    if (this.context.leads) this.announcer.start(nowUs);
    else this.inView.send(nowUs);
  }

  private committed(nowUs: number): void {
    this.committedSeqno = this.data.committed;
    this.sync.onCommitted(nowUs);
    this.views.committed();
  }

  private fail(message: string): void {
    this.failed = true;
    this.data.fail(message);
  }
}
