/**
 * A transfer that leaves a group under load its time: a burst of requests, and when all are answered a rest that is a multiple of what they
 * took. So it takes a fixed share of whatever is short on the way (the source's time, the own, the network's, or a core that all of them
 * share), and ends in a fixed multiple of the time that it needs. An idle group has no use for rests.
 */
import { ReplicaStatus } from "../data/binding.js";
import type { Context } from "./context.js";

/** What takes longer was lost, or stood still, and says nothing about the load. */
const LongestBurstUs = 5_000;
/** The source keeps the entries that are still to come meanwhile. Once they are more than this share of a log there is no time for rests. */
const SpareLog = 0.25;

export class Pace {
  private readonly context: Context;
  /** Requests of a burst. */
  private readonly burst: number;
  /** A rest is so many times as long as the burst before it. */
  private factor: number;
  private asked = 0;
  private outstanding = 0;
  private beganUs = 0;
  private restUntilUs = 0;

  constructor(context: Context, burst: number, factor: number) {
    this.context = context;
    this.burst = burst;
    this.factor = factor;
  }

  /** Whether the next request may leave. */
  goes(nowUs: number): boolean {
    return nowUs >= this.restUntilUs && this.asked < this.burst;
  }

  onAsked(nowUs: number): void {
    if (this.asked === 0) this.beganUs = nowUs;
    this.asked++;
    this.outstanding++;
  }

  /** A request was answered; what lies above `seqno` is still to be fetched. */
  onAnswered(nowUs: number, seqno: number): void {
    this.outstanding = Math.max(0, this.outstanding - 1);
    if (!this.spares(nowUs, seqno)) {
      // As many as there is a window for.
      this.asked = Number.NEGATIVE_INFINITY;
      this.restUntilUs = nowUs;
    } else if (this.outstanding === 0) {
      this.asked = 0;
      this.restUntilUs = nowUs + this.factor * Math.min(LongestBurstUs, nowUs - this.beganUs);
    } else if (this.asked < 0) {
      this.asked = this.burst;
    }
  }

  /** Shorter rests from now on: the transfer does not get anywhere. */
  hurry(): void {
    this.factor = this.factor > 1 ? this.factor / 2 : 0;
  }

  /** When a rest ends; Infinity: there is none. */
  get deadlineUs(): number {
    return this.outstanding === 0 ? this.restUntilUs : Number.POSITIVE_INFINITY;
  }

  /** What was asked for will not come. */
  reset(): void {
    this.asked = 0;
    this.outstanding = 0;
    this.restUntilUs = 0;
  }

  private spares(nowUs: number, seqno: number): boolean {
    const { data, load } = this.context;
    const serves = data.status !== ReplicaStatus.Reconciliation && load.busy(nowUs);
    return serves && this.factor > 0 && load.committed - seqno < SpareLog * data.logEntries;
  }
}
