/**
 * Recovery of a replica that started without its memory (docs/protocols.md, Recovery). It learns the life and its incarnation from f+1
 * others, fetches what is committed, has them reconcile, and takes part again by a START-VIEW whose quorum did not count it and knew of its
 * incarnation. Until then it sends nothing that counts.
 */
import { Guard, MessageType, ReplicaStatus } from "../data/binding.js";
import type { Context } from "./context.js";
import type { Installer, InstallHost } from "./install.js";
import { RecordPool, recordOf } from "./log-rows.js";
import {
  decodeFetchReply,
  decodeStartReconciliation,
  decodeStartView,
  encodeFetch,
  encodeStartReconciliation,
  type FetchReplyMessage,
  FetchWhat,
  type LogParts,
  type StartViewMessage,
} from "./messages.js";
import { Prefetch } from "./prefetch.js";
import { decodeRecoveryAnswer, encodeRecoveryQuery, type RecoveryAnswerMessage } from "./recovery-messages.js";
import { RemoteLog } from "./remote-log.js";
import type { SnapshotFetch } from "./snapshot-fetch.js";
import { decodeSnapshotChunk } from "./snapshot-messages.js";

const FirstQueryUs = 20_000;
const SlowestQueryUs = 500_000;
/** Queries go on at this period while entries are fetched: the answers tell how far the others are. */
const ProgressQueryUs = 50_000;
/** An installation for which nothing comes is given up after so long. */
const StuckUs = 500_000;
/** A reconciliation is asked for no more often. */
const TriggerUs = 200_000;

export type RecoveryCode = "asking" | "fetching-snapshot" | "fetching-entries" | "waiting-for-reconciliation";

/** Where a recovery stands. Codes for programs, text for people. */
export interface RecoveryState {
  readonly code: RecoveryCode;
  readonly text: string;
}

interface Copy {
  log: RemoteLog;
  answer: RecoveryAnswerMessage;
  source: number;
}

export class Recovery {
  private readonly context: Context;
  private readonly host: InstallHost;
  private readonly installer: Installer;
  private readonly snapshots: SnapshotFetch;
  private readonly prefetch: Prefetch;
  private readonly answers = new Map<number, RecoveryAnswerMessage>();
  /** Known since f+1 answers. */
  private known = false;
  private queryUs = 0;
  private queryPeriodUs = FirstQueryUs;
  private triggerUs = 0;
  /** When something last came for the installation that is under way. */
  private installUs = 0;
  private told = "";
  /** Whether requests come here. They are of no use before the log is nearly whole, and each costs this process more than what it fetches. */
  private hears = true;
  /** It was near already: it falls behind only for moments. */
  private caughtUp = false;
  /** Only while RecoverySilence is switched off: the log that is copied. */
  private naive: Copy | undefined;

  constructor(context: Context, host: InstallHost, installer: Installer, snapshots: SnapshotFetch) {
    this.context = context;
    this.host = host;
    this.installer = installer;
    this.snapshots = snapshots;
    this.prefetch = new Prefetch(context, host, snapshots);
  }

  get state(): RecoveryState {
    const { f, data } = this.context;
    if (!this.known) return { code: "asking", text: `${this.agreeing()} of ${f + 1} answers that are needed` };
    if (this.prefetch.near) return { code: "waiting-for-reconciliation", text: "waiting for a reconciliation" };
    if (this.prefetch.state === "snapshot") {
      return { code: "fetching-snapshot", text: `fetching the snapshot, ${Math.floor(100 * this.snapshots.progress)}%` };
    }
    return { code: "fetching-entries", text: `fetching entries, ${data.logEnd} of ${this.prefetch.target}` };
  }

  /** False: malformed. */
  onFrame(nowUs: number, from: number, type: number, body: Uint8Array): boolean {
    const fits = this.dispatch(nowUs, from, type, body);
    this.tell();
    return fits;
  }

  /** False: records that do not belong to the log. */
  onFetchReply(nowUs: number, from: number, message: FetchReplyMessage): boolean {
    this.installUs = nowUs;
    if (message.what === FetchWhat.Committed) return this.prefetch.onRun(nowUs, from, message);
    if (this.naive) return this.onNaiveReply(nowUs, from, message);
    return !this.installer.running || this.installer.onFetchReply(nowUs, from, message);
  }

  private dispatch(nowUs: number, from: number, type: number, body: Uint8Array): boolean {
    switch (type) {
      case MessageType.RecoveryAnswer:
        return this.onAnswer(nowUs, from, decodeRecoveryAnswer(body));
      case MessageType.StartView:
        return this.onStartView(nowUs, from, decodeStartView(body));
      case MessageType.FetchReply: {
        const message = decodeFetchReply(body);
        return message !== undefined && this.onFetchReply(nowUs, from, message);
      }
      case MessageType.SnapshotChunk: {
        const message = decodeSnapshotChunk(body);
        this.installUs = nowUs;
        return message !== undefined && this.snapshots.onChunk(nowUs, from, message);
      }
      case MessageType.StartReconciliation: {
        const message = decodeStartReconciliation(body);
        if (message) this.overtake(message.vector);
        return message !== undefined;
      }
      default:
        // Whatever else it is, it is for those who take part.
        return true;
    }
  }

  onTimer(nowUs: number): void {
    if (nowUs >= this.queryUs) this.query(nowUs);
    if (this.installer.running && nowUs >= this.installUs + StuckUs) {
      this.installer.cancel();
      this.snapshots.stop();
    }
    this.installer.onTimer(nowUs);
    this.snapshots.onTimer(nowUs);
    this.prefetch.onTimer(nowUs);
    if (this.known && nowUs >= this.triggerUs) this.trigger(nowUs);
    this.tell();
  }

  get deadlineUs(): number {
    const triggerUs = this.known && this.prefetch.near && !this.installer.running ? this.triggerUs : Number.POSITIVE_INFINITY;
    const stuckUs = this.installer.running ? this.installUs + StuckUs : Number.POSITIVE_INFINITY;
    return Math.min(this.queryUs, triggerUs, stuckUs, this.installer.deadlineUs, this.snapshots.deadlineUs, this.prefetch.deadlineUs);
  }

  private query(nowUs: number): void {
    if (this.known) {
      this.queryPeriodUs = ProgressQueryUs;
    } else if (this.queryUs > 0) {
      this.queryPeriodUs = Math.min(SlowestQueryUs, this.queryPeriodUs * 2);
    }
    this.queryUs = nowUs + this.queryPeriodUs;
    this.context.broadcast(MessageType.RecoveryQuery, encodeRecoveryQuery(this.context));
  }

  private onAnswer(nowUs: number, from: number, message: RecoveryAnswerMessage | undefined): boolean {
    if (!message) return false;
    const { f, data } = this.context;
    if (Buffer.compare(message.bootId, this.context.bootId) !== 0 || message.epoch !== this.context.epoch) return true;
    this.answers.set(from, message);
    let [source, answer] = [from, message];
    if (!this.known) {
      const agreeing = [...this.answers].filter(([, { lifeId }]) => Buffer.compare(lifeId, message.lifeId) === 0);
      if (agreeing.length <= f) return true;
      if (data.lifeId !== undefined && Buffer.compare(message.lifeId, data.lifeId) !== 0) {
        this.host.fail("the data directory belongs to another life of the cluster than the one that its replicas live");
        return true;
      }
      if (!data.setLife(message.lifeId)) return true;
      this.known = true;
      this.context.reborn(1 + Math.max(...agreeing.map(([, { incarnation }]) => incarnation)));
      this.queryUs = nowUs;
      // A leader has most to do.
      const backup = agreeing.find(
        ([replica, { status, view }]) => status === ReplicaStatus.Normal && this.context.leaderOf(view) !== replica,
      );
      [source, answer] = backup ?? [source, answer];
    }
    if (data.lifeId === undefined || Buffer.compare(message.lifeId, data.lifeId) !== 0 || this.installer.running) return true;
    this.context.load.heard(nowUs, message.committed);
    this.prefetch.onAnswer(nowUs, source, answer);
    if (!this.context.guard(Guard.RecoverySilence)) this.copy(nowUs, from, message);
    return true;
  }

  /** Answers that name the same life as most do. */
  private agreeing(): number {
    const lives = [...this.answers.values()].map((answer) => Buffer.from(answer.lifeId).toString("latin1"));
    return Math.max(0, ...lives.map((life) => lives.filter((other) => other === life).length));
  }

  /** Reconcile, all of you, into this view or a later one: this replica takes no part, and its views are to be skipped. */
  private trigger(nowUs: number): void {
    if (!this.prefetch.near || this.installer.running) return;
    this.triggerUs = nowUs + TriggerUs;
    const { incarnation, vector } = this.context;
    this.context.broadcast(
      MessageType.StartReconciliation,
      encodeStartReconciliation({ view: this.prefetch.view + 1, incarnation, recovering: true, vector }),
    );
  }

  private onStartView(nowUs: number, from: number, message: StartViewMessage | undefined): boolean {
    if (!message) return false;
    // Entries fetched in some view need not be part of what earlier views started with.
    if (!this.known || !this.prefetch.near || message.view <= this.prefetch.view) return true;
    if (this.context.leaderOf(message.view) === this.context.replica || message.minVector.length !== this.context.n) return false;
    this.overtake(message.maxVector);
    if (this.context.guard(Guard.RecoveryMask) && !qualifies(message, this.context.replica, this.context.incarnation)) return true;
    if (!this.installer.running) this.prefetch.stop();
    this.installUs = nowUs;
    return this.installer.begin(nowUs, from, message);
  }

  /** A process that started before this one and came to nothing may have told somebody a later incarnation. */
  private overtake(vector: readonly number[]): void {
    const latest = vector[this.context.replica] ?? 0;
    if (this.known && latest > this.context.incarnation) this.context.reborn(latest);
  }

  private tell(): void {
    if (this.context.data.status !== ReplicaStatus.Recovery) return;
    this.caughtUp ||= this.prefetch.near;
    const hears = this.caughtUp || !this.prefetch.far;
    if (hears !== this.hears) this.context.data.hearRequests(hears);
    this.hears = hears;
    const { code, text } = this.state;
    if (this.told === code) return;
    this.told = code;
    this.context.data.event({ type: "recovery-progress", code, reason: text });
  }

  /** The naive recovery, of test builds alone: the log of a NORMAL replica, as it is, and NORMAL in its view at once. */
  private copy(nowUs: number, source: number, answer: RecoveryAnswerMessage): void {
    const { data } = this.context;
    if (this.naive || !this.prefetch.near || answer.status !== ReplicaStatus.Normal || answer.base > data.logEnd) return;
    const low = data.logEnd;
    const log = new RemoteLog(data, new RecordPool(data, this.context.fetched), low, Math.max(low, answer.end), data.hashAt(low));
    this.prefetch.stop();
    this.naive = { log, answer, source };
    this.onNaiveReply(nowUs, source, undefined);
  }

  private onNaiveReply(nowUs: number, from: number, message: LogParts | undefined): boolean {
    const { log, answer, source } = this.naive as Copy;
    if (message && from === source && "rows" in message) log.addRows(message.from, message.rows);
    else if (message && from === source && "records" in message) log.addRecords(message.records);
    const missing = log.missing();
    if (missing) {
      this.context.send(source, MessageType.Fetch, encodeFetch({ view: answer.view, ...missing }));
      return true;
    }
    this.naive = undefined;
    const { data, vector } = this.context;
    const base = data.logEnd;
    data.install(
      answer.view,
      answer.mode,
      base,
      log.rows.map((row) => recordOf(data, row)),
    );
    // It has no START-VIEW to hand out, nor to confirm.
    const nothing = {
      mask: 0,
      base,
      baseHash: data.hashAt(base),
      end: base,
      endHash: data.hashAt(base),
      minVector: vector,
      maxVector: vector,
    };
    this.host.installed(nowUs, { view: -1, mode: answer.mode, ...nothing });
    return true;
  }
}

/** Whether a replica that recovers with this incarnation may install it: its quorum did not count it, and all of it knew of the crash. */
export function qualifies(start: { mask: number; minVector: readonly number[] }, replica: number, incarnation: number): boolean {
  return (start.mask & (1 << replica)) === 0 && (start.minVector[replica] ?? 0) >= incarnation;
}
