/** Frames from other replicas. Every handler checks in the same order: form, status, view, role. */
import { Guard, MessageType, Mode, ReplicaStatus } from "../data/binding.js";
import type { Announcer, InViewSender } from "./announce.js";
import type { CatchUp } from "./catch-up.js";
import type { Checkpoints } from "./checkpoints.js";
import { Reader } from "./codec.js";
import type { Context } from "./context.js";
import type { DataPlane } from "./data-plane.js";
import { answerFetch } from "./fetch.js";
import type { Heartbeats } from "./heartbeat.js";
import { decodeHeartbeat, HeartbeatFlag, type HeartbeatMessage } from "./heartbeat-message.js";
import type { Installer } from "./install.js";
import type { LeaderView } from "./leader-view.js";
import * as messages from "./messages.js";
import type { Reconciliation } from "./reconcile.js";
import { qualifies } from "./recovery.js";
import { decodeRecoveryAnswer, decodeRecoveryQuery, encodeRecoveryAnswer } from "./recovery-messages.js";
import type { SnapshotFetch } from "./snapshot-fetch.js";
import { decodeFetchSnapshot, decodeSnapshotChunk, type FetchSnapshotMessage, type SnapshotChunkMessage } from "./snapshot-messages.js";
import type { Sync } from "./sync.js";
import type { ViewStarts } from "./view-start.js";
import type { Views } from "./views.js";

export interface ReceiverParts {
  sync: Sync;
  starts: ViewStarts;
  announcer: Announcer;
  inView: InViewSender;
  installer: Installer;
  reconciliation: Reconciliation;
  heartbeats: Heartbeats;
  leaderView: LeaderView;
  views: Views;
  checkpoints: Checkpoints;
  snapshots: SnapshotFetch;
  catchUp: CatchUp;
}

export interface ReceiverHost {
  fail(message: string): void;
}

export class Receiver {
  private readonly context: Context;
  private readonly data: DataPlane;
  private readonly parts: ReceiverParts;
  private readonly host: ReceiverHost;

  constructor(context: Context, parts: ReceiverParts, host: ReceiverHost) {
    this.context = context;
    this.data = context.data;
    this.parts = parts;
    this.host = host;
  }

  /** False: malformed, or not this replica's role. */
  onFrame(nowUs: number, from: number, type: number, body: Uint8Array): boolean {
    this.parts.heartbeats.heard(nowUs, from);
    if (type !== MessageType.Heartbeat && type !== MessageType.StartReconciliation) this.parts.views.heard(from);
    switch (type) {
      case MessageType.Sync:
        return this.onSync(nowUs, from, messages.decodeSync(body));
      case MessageType.SyncReply:
        return this.onSyncReply(nowUs, from, messages.decodePosition(body));
      case MessageType.Commit:
        return this.onCommit(nowUs, from, messages.decodePosition(body));
      case MessageType.StartReconciliation:
        return this.onStartReconciliation(nowUs, from, messages.decodeStartReconciliation(body));
      case MessageType.Reconcile:
        return this.onReconcile(nowUs, from, messages.decodeReconcile(body));
      case MessageType.StartView:
        return this.onStartView(nowUs, from, messages.decodeStartView(body));
      case MessageType.StartViewRequest:
        return this.onStartViewRequest(nowUs, from, messages.decodeStartViewRequest(body));
      case MessageType.InView:
        return this.onInView(nowUs, from, messages.decodePosition(body));
      case MessageType.Fetch:
        return this.onFetch(nowUs, from, messages.decodeFetch(body));
      case MessageType.FetchReply:
        return this.onFetchReply(nowUs, from, messages.decodeFetchReply(body));
      case MessageType.Heartbeat:
        return this.onHeartbeat(nowUs, from, decodeHeartbeat(body));
      case MessageType.Prepare:
        return this.onPrepare(nowUs, from, body);
      case MessageType.PrepareOk:
        return this.onForeignPrepareOk(from);
      case MessageType.FastPrepare:
        return this.onFastPrepare(nowUs, from, body);
      case MessageType.FastVote:
        return this.onForeignPrepareOk(from);
      case MessageType.RecoveryQuery:
        return this.onRecoveryQuery(nowUs, from, decodeRecoveryQuery(body));
      case MessageType.RecoveryAnswer:
        return decodeRecoveryAnswer(body) !== undefined;
      case MessageType.FetchSnapshot:
        return this.onFetchSnapshot(nowUs, from, decodeFetchSnapshot(body));
      case MessageType.SnapshotChunk:
        return this.onSnapshotChunk(nowUs, from, decodeSnapshotChunk(body));
      default:
        return false;
    }
  }

  private onHeartbeat(nowUs: number, from: number, message: HeartbeatMessage | undefined): boolean {
    if (!message) return false;
    this.parts.heartbeats.onHeartbeat(nowUs, from, message);
    this.parts.views.onHeartbeat(from, message);
    this.parts.checkpoints.onHeartbeat(from, message);
    this.context.load.heard(nowUs, message.committed);
    const data = this.data;
    const { view } = message;
    if ((message.flags & HeartbeatFlag.Normal) === 0 || !this.isNormalIn(nowUs, from, view)) return true;
    // A LEADER view's log is its leader's, up to where it is here; of a FAST view's that holds of what was accepted.
    const seqno = Math.min(message.committed, data.logEnd);
    if (data.mode === Mode.Speculative || from !== this.context.leaderOf(view)) return true;
    const settled = data.mode === Mode.Leader ? seqno : Math.min(seqno, data.accepted);
    if (settled > data.committed) data.commitTo(settled);
    this.parts.catchUp.onLeaderHeartbeat(nowUs, from, message);
    return true;
  }

  /** The data plane hands up a PREPARE only when its view is not installed here. */
  private onPrepare(nowUs: number, from: number, body: Uint8Array): boolean {
    const view = new Reader(body.subarray(0, 8)).u64();
    if (body.length < 8 || from !== this.context.leaderOf(view)) return false;
    this.isNormalIn(nowUs, from, view);
    return true;
  }

  /** Whole, it contradicts what this replica has accepted. */
  private onFastPrepare(nowUs: number, from: number, body: Uint8Array): boolean {
    if (body.length <= 8) return this.onPrepare(nowUs, from, body);
    this.host.fail(`replica ${from} prepared another entry than the one accepted in view ${this.data.view}, a FAST view`);
    return true;
  }

  /** The data plane hands up a PREPARE-OK (or FAST-VOTE) only when it names another entry than the own log has. */
  private onForeignPrepareOk(from: number): boolean {
    if (!this.parts.leaderView.active) return true;
    this.host.fail(`replica ${from} acknowledged another log of view ${this.data.view} than its leader's`);
    return true;
  }

  private onSync(nowUs: number, from: number, message: messages.SyncMessage | undefined): boolean {
    if (!message || from !== this.context.leaderOf(message.view)) return false;
    if (this.isNormalIn(nowUs, from, message.view)) this.parts.sync.onSync(nowUs, message);
    return true;
  }

  private onSyncReply(nowUs: number, from: number, message: messages.PositionMessage | undefined): boolean {
    if (!message || this.context.leaderOf(message.view) !== this.context.replica) return false;
    if (this.isNormalIn(nowUs, from, message.view)) this.parts.sync.onSyncReply(nowUs, from, message);
    return true;
  }

  private onCommit(nowUs: number, from: number, message: messages.PositionMessage | undefined): boolean {
    if (!message || from !== this.context.leaderOf(message.view)) return false;
    // Of a view whose START-VIEW is not installed here nothing is known but this: the log may still have to change before it.
    if (message.view > this.data.lastNormalView) {
      this.parts.views.request(nowUs, from, message.view);
      if (this.context.guard(Guard.CommitAcrossViews)) return true;
    }
    this.parts.sync.onCommit(nowUs, message);
    return true;
  }

  private onStartReconciliation(nowUs: number, from: number, message: messages.StartReconciliationMessage | undefined): boolean {
    if (!message) return false;
    if (message.vector.length !== this.context.n) return false;
    if (this.context.superseded(from, message.vector[this.context.replica] as number)) {
      this.host.fail(`replicas know of a later process than this one as replica ${this.context.replica}; started again, it recovers`);
      return true;
    }
    const news = this.context.learn(message.vector);
    if (news && this.data.status === ReplicaStatus.Reconciliation) this.parts.reconciliation.onVectorNews();
    if (message.recovering) {
      this.onTrigger(nowUs, from, message);
      return true;
    }
    const { view } = message;
    if (view > this.data.view) this.parts.views.enter(nowUs, view, true);
    if (this.data.status === ReplicaStatus.Normal) this.parts.starts.help(nowUs, from, view);
    else if (view === this.data.view) this.parts.reconciliation.onStart(nowUs, from);
    return true;
  }

  /** A replica that recovers is not counted; it can install views from the one that it names on. */
  private onTrigger(nowUs: number, from: number, { view, incarnation }: messages.StartReconciliationMessage): void {
    this.parts.heartbeats.onTrigger(nowUs, from, incarnation);
    if (this.data.status !== ReplicaStatus.Normal) return;
    const { current } = this.parts.starts;
    if (current && current.view >= view && qualifies(current, from, incarnation)) this.parts.starts.sendTo(nowUs, from);
    else this.parts.views.recover(nowUs, from);
  }

  private onRecoveryQuery(nowUs: number, from: number, message: { bootId: Uint8Array; epoch: number } | undefined): boolean {
    const { lifeId, view, status, mode, committed, logEnd, logBase } = this.data;
    if (!message) return false;
    const { bootId, epoch } = message;
    if (!lifeId || epoch !== this.context.epoch) return true;
    this.parts.heartbeats.onQuery(nowUs, from, bootId);
    const answer = {
      bootId,
      lifeId,
      epoch,
      view,
      status,
      mode,
      incarnation: this.context.vector[from] as number,
      committed,
      committedHash: this.data.hashAt(committed),
      end: logEnd,
      base: logBase,
      checkpoint: this.parts.checkpoints.newest?.seqno ?? 0,
    };
    this.context.send(from, MessageType.RecoveryAnswer, encodeRecoveryAnswer(answer));
    return true;
  }

  private onReconcile(nowUs: number, from: number, message: messages.ReconcileMessage | undefined): boolean {
    if (!message || this.context.leaderOf(message.view) !== this.context.replica) return false;
    if (message.view > this.data.view) this.parts.views.enter(nowUs, message.view, true);
    if (message.view < this.data.view) return true;
    if (this.data.status === ReplicaStatus.Normal && this.context.guard(Guard.MergeOnce)) {
      this.parts.starts.sendTo(nowUs, from);
      return true;
    }
    return this.parts.reconciliation.onReconcile(nowUs, from, message);
  }

  private onStartView(nowUs: number, from: number, message: messages.StartViewMessage | undefined): boolean {
    if (!message || this.context.leaderOf(message.view) === this.context.replica) return false;
    if (message.view < this.data.view) return true;
    if (message.view > this.data.view) {
      this.parts.views.enter(nowUs, message.view, false);
    } else if (this.data.status === ReplicaStatus.Normal) {
      // Installed already: once more would roll back what was answered since.
      this.parts.inView.send(nowUs);
      if (this.context.guard(Guard.InstallOnce)) return true;
      this.parts.views.enter(nowUs, message.view, false);
    }
    // The first one of its view only: a leader that resends it may be deaf.
    if (!this.parts.installer.running) this.parts.views.prolong(nowUs);
    return this.parts.installer.begin(nowUs, from, message);
  }

  private onStartViewRequest(nowUs: number, from: number, view: number | undefined): boolean {
    if (view === undefined) return false;
    if (view > this.data.view) this.parts.views.request(nowUs, from, view);
    else if (this.data.status === ReplicaStatus.Normal) this.parts.starts.sendTo(nowUs, from);
    else this.parts.reconciliation.sendStart(from);
    return true;
  }

  private onInView(nowUs: number, from: number, message: messages.PositionMessage | undefined): boolean {
    if (!message || this.context.leaderOf(message.view) !== this.context.replica) return false;
    if (this.isNormalIn(nowUs, from, message.view)) this.parts.announcer.onInView(nowUs, from, message);
    return true;
  }

  private onFetch(nowUs: number, from: number, message: messages.FetchMessage | undefined): boolean {
    if (!message) return false;
    if (message.view > this.data.view) this.parts.views.request(nowUs, from, message.view);
    if (message.view === this.data.view && this.data.status === ReplicaStatus.Reconciliation) {
      this.parts.reconciliation.onFetched(from);
      if (from === this.context.leaderOf(message.view)) this.parts.views.prolong(nowUs);
    }
    const lowest = Math.min(...message.ranges.map((range) => range.from)) - 1;
    this.parts.checkpoints.lease(nowUs, from, lowest);
    answerFetch(this.context, from, message);
    return true;
  }

  /** False: malformed, or records that do not belong to the log. */
  onFetchReply(nowUs: number, from: number, message: messages.FetchReplyMessage | undefined): boolean {
    if (!message) return false;
    // Of a recovery that is over.
    if (message.what === messages.FetchWhat.Committed) return true;
    const merged = this.data.status === ReplicaStatus.Normal && this.context.guard(Guard.MergeOnce);
    if (message.view !== this.data.view || merged) return true;
    this.parts.views.prolong(nowUs);
    const leads = this.context.leads;
    return leads ? this.parts.reconciliation.onFetchReply(nowUs, from, message) : this.parts.installer.onFetchReply(nowUs, from, message);
  }

  /** Whether a message of this view is for now. One of a view that is not installed here shows that its sender has it: asked for. */
  private isNormalIn(nowUs: number, from: number, view: number): boolean {
    const normal = this.data.status === ReplicaStatus.Normal;
    if (view > this.data.view || (view === this.data.view && !normal)) this.parts.views.request(nowUs, from, view);
    return normal && view === this.data.view;
  }

  private onFetchSnapshot(nowUs: number, from: number, message: FetchSnapshotMessage | undefined): boolean {
    if (!message) return false;
    const { view, status } = this.data;
    if (status === ReplicaStatus.Reconciliation && from === this.context.leaderOf(view)) {
      this.parts.reconciliation.onFetched(from);
      this.parts.views.prolong(nowUs);
    }
    const chunk = this.parts.checkpoints.chunkFor(nowUs, from, message);
    if (chunk) this.context.send(from, MessageType.SnapshotChunk, chunk);
    return true;
  }

  private onSnapshotChunk(nowUs: number, from: number, message: SnapshotChunkMessage | undefined): boolean {
    if (!message) return false;
    if (this.data.status === ReplicaStatus.Reconciliation) this.parts.views.prolong(nowUs);
    return this.parts.snapshots.onChunk(nowUs, from, message);
  }
}
