/** The leader of a new view: START-VIEW until everybody has it, IN-VIEWs counted, the log it started with committed and answered. */
import { MessageType, Mode } from "../data/binding.js";
import { type Context, equalBytes } from "./context.js";
import { encodePosition, type PositionMessage } from "./messages.js";
import type { Sync } from "./sync.js";
import type { ViewStarts } from "./view-start.js";

const LongestResendUs = 1_000_000;
const Never = Number.POSITIVE_INFINITY;

export interface AnnounceHost {
  committed(nowUs: number): void;
  fail(message: string): void;
}

export class Announcer {
  private readonly context: Context;
  private readonly starts: ViewStarts;
  private readonly sync: Sync;
  private readonly host: AnnounceHost;
  private readonly inView = new Set<number>();
  private resendUs = Never;
  private intervalUs = 0;

  constructor(context: Context, starts: ViewStarts, sync: Sync, host: AnnounceHost) {
    this.context = context;
    this.starts = starts;
    this.sync = sync;
    this.host = host;
  }

  /** Whether this leader waits for others to install the log that the view starts with: without f of them it commits nothing. */
  get awaitsQuorum(): boolean {
    const { context, starts, inView } = this;
    return context.leads && starts.current?.view === context.data.view && inView.size < context.f;
  }

  /** This leader has installed the log it merged. */
  start(nowUs: number): void {
    this.inView.clear();
    this.intervalUs = this.context.resendUs;
    this.resendUs = nowUs + this.intervalUs;
    this.starts.sendToAll(nowUs);
    if (this.context.n === 1) this.commit(nowUs);
  }

  stop(): void {
    this.resendUs = Never;
  }

  onInView(nowUs: number, from: number, message: PositionMessage): void {
    const start = this.starts.current;
    if (!start || start.view !== message.view) return;
    if (start.end !== message.seqno || !equalBytes(message.hash, start.endHash)) {
      this.host.fail(`replica ${from} entered view ${message.view} with another log`);
      return;
    }
    this.inView.add(from);
    if (this.inView.size === this.context.n - 1) this.stop();
    if (start.end > this.context.data.committed) {
      if (this.inView.size >= this.context.f) this.commit(nowUs);
    } else {
      this.sync.leader.tellCommitted(from);
    }
    this.sync.onSyncReply(nowUs, from, message);
  }

  /** f others hold the log this view started with: it stays in every later view, so it is committed. */
  private commit(nowUs: number): void {
    const { data } = this.context;
    const end = this.starts.current?.end ?? 0;
    const first = data.committed + 1;
    if (end < first) return;
    data.commitTo(end);
    this.host.committed(nowUs);
    this.sync.leader.announceCommit(nowUs);
    // In LEADER views a commit answers by itself.
    if (data.mode === Mode.Speculative) data.answer(first, end);
  }

  onTimer(nowUs: number): void {
    if (nowUs < this.resendUs) return;
    this.intervalUs = Math.min(LongestResendUs, this.intervalUs * 2);
    this.resendUs = nowUs + this.intervalUs;
    for (let replica = 0; replica < this.context.n; replica++) {
      if (replica !== this.context.replica && !this.inView.has(replica)) this.starts.sendTo(nowUs, replica);
    }
  }

  get deadlineUs(): number {
    return this.resendUs;
  }
}

/** The other replicas of a new view: IN-VIEW until the log it started with is committed. */
export class InViewSender {
  private readonly context: Context;
  private readonly starts: ViewStarts;
  private resendUs = Never;

  constructor(context: Context, starts: ViewStarts) {
    this.context = context;
    this.starts = starts;
  }

  send(nowUs: number): void {
    const { data } = this.context;
    const start = this.starts.current;
    if (!start || start.view !== data.view || this.context.leads) return;
    this.resendUs = start.end > data.committed ? nowUs + this.context.resendUs : Never;
    const body = encodePosition({ view: start.view, seqno: start.end, hash: start.endHash });
    this.context.send(this.context.leaderOf(start.view), MessageType.InView, body);
  }

  stop(): void {
    this.resendUs = Never;
  }

  onTimer(nowUs: number): void {
    if (nowUs < this.resendUs) return;
    if ((this.starts.current?.end ?? 0) > this.context.data.committed) this.send(nowUs);
    else this.stop();
  }

  get deadlineUs(): number {
    return this.resendUs;
  }
}
