/**
 * The control plane of one replica: decides views, commits and merges. Pure: frames, time and the log's growth come in, verbs of the
 * DataPlane and frames go out; all times in microseconds.
 *
 * Every handler checks in the same order: form, status, view, role.
 */
import { Guard, MessageType, ReplicaStatus } from "../data/binding.js";
import { Announcer, InViewSender } from "./announce.js";
import { Context, type ControlPlaneConfig } from "./context.js";
import type { DataPlane } from "./data-plane.js";
import { answerFetch } from "./fetch.js";
import { Installer } from "./install.js";
import * as messages from "./messages.js";
import { Reconciliation } from "./reconcile.js";
import { Sync } from "./sync.js";
import { type ViewStart, ViewStarts } from "./view-start.js";

export type { ControlPlaneConfig } from "./context.js";

const Never = Number.POSITIVE_INFINITY;

/** What `squall status` shows of the control plane. */
export interface ControlPlaneSnapshot {
  readonly leader: number;
  /** Present period of SYNC, in us. */
  readonly syncPeriodUs: number;
  /** Views entered since the last commit: the time-outs grow with it. */
  readonly failedViews: number;
  /** Leaders that stayed silent and have not been heard since; their views are skipped. */
  readonly silent: readonly number[];
  /** Why the last reconciliation was started here; "" before the first, or when it was joined. */
  readonly lastReason: string;
  readonly failed: boolean;
}

export class ControlPlane {
  readonly #context: Context;
  readonly #data: DataPlane;
  readonly #sync: Sync;
  readonly #starts: ViewStarts;
  readonly #announcer: Announcer;
  readonly #inView: InViewSender;
  readonly #installer: Installer;
  readonly #reconciliation: Reconciliation;
  readonly #silent = new Set<number>();
  #failedViews = 0;
  /** When the view under reconciliation is given up. */
  #giveUpUs = Never;
  #viewRequestUs = Number.NEGATIVE_INFINITY;
  #lastReason = "";
  #failed = false;
  /** The verbs may call back (a batch ends within one); such calls are not lost, what they bring is seen at the end. */
  #busy = false;
  #grewMeanwhile = false;

  /** Throws RangeError unless 0 <= replica < n and n is odd. */
  constructor(config: ControlPlaneConfig, data: DataPlane) {
    const { replica, n } = config;
    if (!Number.isInteger(n) || n < 1 || n > messages.MaxReplicas || n % 2 === 0) throw new RangeError(`a group of ${n} replicas`);
    if (!Number.isInteger(replica) || replica < 0 || replica >= n) throw new RangeError(`replica ${replica} of ${n}`);
    this.#data = data;
    this.#context = new Context(config, data);
    const host = {
      reconcile: (nowUs: number, reason: string) => this.#startReconciliation(nowUs, reason),
      committed: (nowUs: number) => this.#committed(nowUs),
      installed: (nowUs: number, start: ViewStart) => this.#installed(nowUs, start),
      fail: (message: string) => this.#fail(message),
    };
    this.#sync = new Sync(this.#context, host);
    this.#starts = new ViewStarts(this.#context);
    this.#announcer = new Announcer(this.#context, this.#starts, this.#sync, host);
    this.#inView = new InViewSender(this.#context, this.#starts);
    this.#installer = new Installer(this.#context, host);
    this.#reconciliation = new Reconciliation(this.#context, host);
  }

  get snapshot(): ControlPlaneSnapshot {
    return {
      leader: this.#context.leaderOf(this.#data.view),
      syncPeriodUs: this.#sync.leader.periodUs,
      failedViews: this.#failedViews,
      silent: [...this.#silent].sort((a, b) => a - b),
      lastReason: this.#lastReason,
      failed: this.#failed,
    };
  }

  /** A control frame from replica `from`; `body` is only read during the call. False: malformed, or not this replica's role. */
  onFrame(nowUs: number, from: number, type: number, body: Uint8Array): boolean {
    if (!Number.isInteger(from) || from < 0 || from >= this.#context.n || from === this.#context.replica) return false;
    if (!this.#runs) return true;
    let applicable = true;
    this.#enter(nowUs, () => {
      this.#silent.delete(from);
      applicable = this.#dispatch(nowUs, from, type, body);
    });
    return applicable;
  }

  onTimer(nowUs: number): void {
    if (!this.#runs) return;
    this.#enter(nowUs, () => {
      this.#sync.onTimer(nowUs);
      this.#inView.onTimer(nowUs);
      this.#announcer.onTimer(nowUs);
      this.#installer.onTimer(nowUs);
      this.#reconciliation.onTimer(nowUs);
      if (this.#data.status === ReplicaStatus.Reconciliation && nowUs >= this.#giveUpUs) this.#giveUp(nowUs);
    });
  }

  /** A client misses the commit of the entry at `seqno` (0: of a request that is not in the log). */
  onComplaint(nowUs: number, session: number, seqno: number): void {
    if (this.#runs) this.#enter(nowUs, () => this.#sync.onComplaint(nowUs, session, seqno));
  }

  /** The log grew, or the replica was bootstrapped. */
  onProgress(nowUs: number): void {
    if (this.#busy) this.#grewMeanwhile = true;
    else if (this.#runs) this.#enter(nowUs, () => this.#sync.onProgress(nowUs));
  }

  /** The log end from which onProgress must be called again; growth below it changes nothing here. */
  progressSeqno(): number {
    return this.#sync.progressSeqno;
  }

  /** When onTimer is due; Infinity while idle. */
  nextDeadlineUs(): number {
    if (!this.#runs) return Never;
    const { status } = this.#data;
    if (status === ReplicaStatus.Normal) return Math.min(this.#sync.deadlineUs, this.#inView.deadlineUs, this.#announcer.deadlineUs);
    return Math.min(this.#giveUpUs, this.#installer.deadlineUs, this.#reconciliation.deadlineUs);
  }

  /** RECOVERY serves nobody; the host bootstraps. */
  get #runs(): boolean {
    const { status } = this.#data;
    return !this.#failed && (status === ReplicaStatus.Normal || status === ReplicaStatus.Reconciliation);
  }

  #enter(nowUs: number, action: () => void): void {
    if (this.#busy) return;
    this.#busy = true;
    try {
      this.#forgiveStall(nowUs);
      action();
      if (this.#grewMeanwhile && this.#runs) this.#sync.onProgress(nowUs);
    } finally {
      this.#busy = false;
      this.#grewMeanwhile = false;
    }
  }

  /**
   * Called long after a deadline, this process itself stood still: what the others sent meanwhile waits to be read, so nobody is
   * judged silent yet.
   */
  #forgiveStall(nowUs: number): void {
    const lateUs = nowUs - this.nextDeadlineUs();
    if (lateUs <= this.#context.resendUs) return;
    this.#sync.forgive(lateUs);
    this.#giveUpUs += lateUs;
  }

  #dispatch(nowUs: number, from: number, type: number, body: Uint8Array): boolean {
    switch (type) {
      case MessageType.Sync:
        return this.#onSync(nowUs, from, messages.decodeSync(body));
      case MessageType.SyncReply:
        return this.#onSyncReply(nowUs, from, messages.decodePosition(body));
      case MessageType.Commit:
        return this.#onCommit(nowUs, from, messages.decodePosition(body));
      case MessageType.StartReconciliation:
        return this.#onStartReconciliation(nowUs, from, messages.decodeStartReconciliation(body));
      case MessageType.Reconcile:
        return this.#onReconcile(nowUs, from, messages.decodeReconcile(body));
      case MessageType.StartView:
        return this.#onStartView(nowUs, from, messages.decodeStartView(body));
      case MessageType.StartViewRequest:
        return this.#onStartViewRequest(nowUs, from, messages.decodeStartViewRequest(body));
      case MessageType.InView:
        return this.#onInView(nowUs, from, messages.decodePosition(body));
      case MessageType.Fetch:
        return this.#onFetch(nowUs, from, messages.decodeFetch(body));
      case MessageType.FetchReply:
        return this.#onFetchReply(nowUs, from, messages.decodeFetchReply(body));
      default:
        return false;
    }
  }

  #onSync(nowUs: number, from: number, message: messages.SyncMessage | undefined): boolean {
    if (!message || from !== this.#context.leaderOf(message.view)) return false;
    if (this.#isNormalIn(nowUs, from, message.view)) this.#sync.onSync(nowUs, message);
    return true;
  }

  #onSyncReply(nowUs: number, from: number, message: messages.PositionMessage | undefined): boolean {
    if (!message || this.#context.leaderOf(message.view) !== this.#context.replica) return false;
    if (this.#isNormalIn(nowUs, from, message.view)) this.#sync.onSyncReply(nowUs, from, message);
    return true;
  }

  #onCommit(nowUs: number, from: number, message: messages.PositionMessage | undefined): boolean {
    if (!message || from !== this.#context.leaderOf(message.view)) return false;
    // Of a view whose START-VIEW is not installed here nothing is known but this: the log may still have to change before it.
    if (message.view > this.#data.lastNormalView) {
      this.#requestView(nowUs, from, message.view);
      if (this.#context.guard(Guard.CommitAcrossViews)) return true;
    }
    this.#sync.onCommit(nowUs, message);
    return true;
  }

  #onStartReconciliation(nowUs: number, from: number, message: messages.StartReconciliationMessage | undefined): boolean {
    if (!message) return false;
    const { view, recovering } = message;
    if (view > this.#data.view) this.#enterView(nowUs, view, true);
    if (this.#data.status === ReplicaStatus.Normal) this.#starts.help(nowUs, from, view);
    else if (view === this.#data.view) this.#reconciliation.onStart(nowUs, from, recovering);
    return true;
  }

  #onReconcile(nowUs: number, from: number, message: messages.ReconcileMessage | undefined): boolean {
    if (!message || this.#context.leaderOf(message.view) !== this.#context.replica) return false;
    if (message.view > this.#data.view) this.#enterView(nowUs, message.view, true);
    if (message.view < this.#data.view) return true;
    if (this.#data.status === ReplicaStatus.Normal && this.#context.guard(Guard.MergeOnce)) {
      this.#starts.sendTo(nowUs, from);
      return true;
    }
    return this.#reconciliation.onReconcile(nowUs, from, message);
  }

  #onStartView(nowUs: number, from: number, message: messages.StartViewMessage | undefined): boolean {
    if (!message || this.#context.leaderOf(message.view) === this.#context.replica) return false;
    if (message.view < this.#data.view) return true;
    if (message.view > this.#data.view) {
      this.#enterView(nowUs, message.view, false);
    } else if (this.#data.status === ReplicaStatus.Normal) {
      // Installed already: once more would roll back what was answered since.
      this.#inView.send(nowUs);
      if (this.#context.guard(Guard.InstallOnce)) return true;
      this.#enterView(nowUs, message.view, false);
    }
    return this.#installer.begin(nowUs, from, message);
  }

  #onStartViewRequest(nowUs: number, from: number, view: number | undefined): boolean {
    if (view === undefined) return false;
    if (view > this.#data.view) this.#requestView(nowUs, from, view);
    else if (this.#data.status === ReplicaStatus.Normal) this.#starts.sendTo(nowUs, from);
    else this.#reconciliation.sendStart(from);
    return true;
  }

  #onInView(nowUs: number, from: number, message: messages.PositionMessage | undefined): boolean {
    if (!message || this.#context.leaderOf(message.view) !== this.#context.replica) return false;
    if (this.#isNormalIn(nowUs, from, message.view)) this.#announcer.onInView(nowUs, from, message);
    return true;
  }

  #onFetch(nowUs: number, from: number, message: messages.FetchMessage | undefined): boolean {
    if (!message) return false;
    if (message.view > this.#data.view) this.#requestView(nowUs, from, message.view);
    if (message.view === this.#data.view && this.#data.status === ReplicaStatus.Reconciliation) {
      this.#reconciliation.onFetched(from);
      if (from === this.#context.leaderOf(message.view)) this.#prolong(nowUs);
    }
    answerFetch(this.#context, from, message);
    return true;
  }

  #onFetchReply(nowUs: number, from: number, message: messages.FetchReplyMessage | undefined): boolean {
    if (!message) return false;
    const merged = this.#data.status === ReplicaStatus.Normal && this.#context.guard(Guard.MergeOnce);
    if (message.view !== this.#data.view || merged) return true;
    this.#prolong(nowUs);
    const leads = this.#context.leads;
    return leads ? this.#reconciliation.onFetchReply(nowUs, from, message) : this.#installer.onFetchReply(nowUs, from, message);
  }

  /** Whether a message of this view is for now. One of a view that is not installed here shows that its sender has it: asked for. */
  #isNormalIn(nowUs: number, from: number, view: number): boolean {
    const normal = this.#data.status === ReplicaStatus.Normal;
    if (view > this.#data.view || (view === this.#data.view && !normal)) this.#requestView(nowUs, from, view);
    return normal && view === this.#data.view;
  }

  #requestView(nowUs: number, from: number, view: number): void {
    if (nowUs - this.#viewRequestUs < this.#context.resendUs) return;
    this.#viewRequestUs = nowUs;
    this.#context.send(from, MessageType.StartViewRequest, messages.encodeStartViewRequest(view));
  }

  #startReconciliation(nowUs: number, reason: string): void {
    if (this.#data.status !== ReplicaStatus.Normal || this.#failed) return;
    this.#lastReason = reason;
    this.#enterView(nowUs, this.#nextView(), true);
  }

  /** The next view whose leader is not known to be silent. */
  #nextView(): number {
    const { n } = this.#context;
    for (let view = this.#data.view + 1; view < this.#data.view + n; view++) {
      if (!this.#silent.has(this.#context.leaderOf(view))) return view;
    }
    return this.#data.view + 1;
  }

  #enterView(nowUs: number, view: number, announce: boolean): void {
    this.#data.freeze(view);
    this.#installer.cancel();
    this.#announcer.stop();
    this.#inView.stop();
    this.#giveUpUs = nowUs + this.#context.reconciliationTimeoutUs(this.#failedViews);
    this.#failedViews++;
    this.#reconciliation.enter(nowUs, view, announce);
  }

  /** No START-VIEW in time. Without f others in this view its leader isn't to blame, and a higher view would only disturb them later. */
  #giveUp(nowUs: number): void {
    if (this.#reconciliation.heard.size < this.#context.f) {
      this.#giveUpUs = nowUs + this.#context.reconciliationTimeoutUs(this.#failedViews);
      return;
    }
    if (!this.#context.leads) this.#silent.add(this.#context.leaderOf(this.#data.view));
    this.#lastReason = `view ${this.#data.view} did not start in time`;
    this.#enterView(nowUs, this.#nextView(), true);
  }

  /** Logs are being exchanged: no reason to give up the view yet. */
  #prolong(nowUs: number): void {
    this.#giveUpUs = Math.max(this.#giveUpUs, nowUs + this.#context.reconciliationTimeoutUs(0));
  }

  #installed(nowUs: number, start: ViewStart): void {
    this.#giveUpUs = Never;
    this.#starts.installed(nowUs, start);
    this.#sync.reset(nowUs);
    if (this.#context.leads) this.#announcer.start(nowUs);
    else this.#inView.send(nowUs);
  }

  #committed(nowUs: number): void {
    this.#sync.onCommitted(nowUs);
    if (this.#data.status === ReplicaStatus.Normal) this.#failedViews = 0;
  }

  #fail(message: string): void {
    this.#failed = true;
    this.#data.fail(message);
  }
}
