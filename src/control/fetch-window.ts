/**
 * Requests for parts of one replica's log, a few under way at a time, no two for the same entries. One that stays unanswered is made again
 * after a time-out that adapts, so that a source that is only slow is not asked for the same over and over.
 */
import type { Context } from "./context.js";
import { type FetchRange, FetchWhat } from "./messages.js";

const Never = Number.POSITIVE_INFINITY;
/** Replies that may be under way: of a message's usual size they fit a small receive buffer together. */
const MostOutstanding = 4;
const MostRecords = 4096;
/** Time-outs begin with a resend period, double where nothing comes, up to so many, and then go down to twice what replies take. */
const LongestTimeoutPeriods = 16;

export interface FetchRequest extends FetchRange {
  what: number;
  sentUs: number;
  dueUs: number;
}

/** What a reply of records held. */
export interface FetchedRecords {
  count: number;
  last: number;
  /** One of them is larger than a message usually is. */
  large: boolean;
}

export class FetchWindow {
  private readonly context: Context;
  requests: FetchRequest[] = [];
  /** One until a reply shows how large records are, and where replies get lost. */
  private size = 1;
  /** About as many records as fill a reply. */
  recordsPerReply = MostRecords;
  private timeoutUs: number;
  /** Time-outs since something came. */
  unanswered = 0;

  constructor(context: Context) {
    this.context = context;
    this.timeoutUs = context.resendUs;
  }

  get hasRoom(): boolean {
    return this.requests.length < this.size;
  }

  /** When expire() is due. */
  get deadlineUs(): number {
    return this.requests.reduce((due, request) => Math.min(due, request.dueUs), Never);
  }

  asked(nowUs: number, what: number, { from, to }: FetchRange): void {
    this.requests.push({ what, from, to, sentUs: nowUs, dueUs: nowUs + this.timeoutUs });
  }

  /** The request that a reply beginning at `first` answers. undefined: nobody waits for it any more. */
  find(what: number, first: number): FetchRequest | undefined {
    return this.requests.find((request) => request.what === what && first >= request.from && first <= request.to);
  }

  /** The reply is here, and its hashes are being computed. */
  postpone(nowUs: number, request: FetchRequest): void {
    request.dueUs = nowUs + LongestTimeoutPeriods * this.context.resendUs;
  }

  /** Its reply came. `records`: what was in it, unless it was rows. */
  answered(nowUs: number, request: FetchRequest, records?: FetchedRecords): void {
    this.requests.splice(this.requests.indexOf(request), 1);
    this.timeoutUs = this.clamped(Math.max(2 * (nowUs - request.sentUs), 0.9 * this.timeoutUs));
    this.size = Math.min(MostOutstanding, this.size + 1);
    if (request.what === FetchWhat.Rows || !records) return;
    const whole = records.last >= request.to;
    this.recordsPerReply = whole ? Math.min(MostRecords, Math.ceil(this.recordsPerReply * 1.25)) : Math.max(1, records.count);
    // Large ones go one at a time.
    if (records.large) this.size = 1;
  }

  /** Where one was not answered in time all are forgotten, to be made again from the first on. What comes nevertheless counts. False: none is due. */
  expire(nowUs: number): boolean {
    if (nowUs < this.deadlineUs) return false;
    this.unanswered++;
    this.size = 1;
    this.timeoutUs = this.clamped(2 * this.timeoutUs);
    this.requests = [];
    return true;
  }

  private clamped(timeoutUs: number): number {
    const { resendUs } = this.context;
    return Math.min(LongestTimeoutPeriods * resendUs, Math.max(resendUs, timeoutUs));
  }
}
