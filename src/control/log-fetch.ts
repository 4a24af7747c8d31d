/**
 * Fetches what is missing of a RemoteLog from one replica: a few FETCHes at a time, each for entries that no other asks for. A request that
 * stays unanswered is made again after a time-out that adapts, so that a source that is only slow is not asked for the same over and over.
 */
import { MessageType } from "../data/binding.js";
import type { Context } from "./context.js";
import { encodeFetch, type FetchRange, FetchWhat, type LogParts } from "./messages.js";
import type { RemoteLog } from "./remote-log.js";

const Never = Number.POSITIVE_INFINITY;
/** Replies that may be under way: of a message's usual size they fit a small receive buffer together. */
const MostOutstanding = 4;
const MostRecords = 4096;
/** Time-outs begin with a resend period, double where nothing comes, up to so many, and then go down to twice what replies take. */
const LongestTimeoutPeriods = 16;

interface Request extends FetchRange {
  what: number;
  sentUs: number;
  dueUs: number;
}

export class LogFetch {
  private readonly context: Context;
  private readonly view: number;
  /** What is asked for; ranges that no two share. */
  private requests: Request[] = [];
  /** One until a reply shows how large records are, and where replies get lost. */
  private window = 1;
  /** About as many records as fill a reply. */
  private recordsPerReply = MostRecords;
  private timeoutUs: number;
  /** Time-outs since something came. */
  unanswered = 0;

  constructor(
    context: Context,
    view: number,
    readonly source: number,
    readonly log: RemoteLog,
  ) {
    this.context = context;
    this.view = view;
    this.timeoutUs = context.resendUs;
  }

  /** When expire() is due. */
  get deadlineUs(): number {
    return this.requests.reduce((due, request) => Math.min(due, request.dueUs), Never);
  }

  /** Asks for more, as far as the window allows. */
  advance(nowUs: number): void {
    const { context, log } = this;
    this.requests = this.requests.filter((request) => request.what === log.what);
    while (this.requests.length < this.window) {
      const missing = log.missing(this.requests, log.what === FetchWhat.Rows ? context.maxRows : this.recordsPerReply);
      if (!missing) return;
      const { what, ranges } = missing;
      const { from } = ranges[0] as FetchRange;
      const { to } = ranges.at(-1) as FetchRange;
      this.requests.push({ what, from, to, sentUs: nowUs, dueUs: nowUs + this.timeoutUs });
      context.send(this.source, MessageType.Fetch, encodeFetch({ view: this.view, what, ranges }));
    }
  }

  /** A FETCH-REPLY of this view from the source. False: records that do not belong to the log. */
  onReply(nowUs: number, message: LogParts): boolean {
    this.unanswered = 0;
    const at = this.requestOf(message);
    if (this.log.hashesLater(this.source, message)) {
      const request = this.requests[at];
      if (request) request.dueUs = nowUs + LongestTimeoutPeriods * this.context.resendUs;
      return true;
    }
    const fits = message.what === FetchWhat.Rows ? this.log.addRows(message.from, message.rows) : this.log.addRecords(message.records);
    if (!fits) return false;
    const [request] = at < 0 ? [] : this.requests.splice(at, 1);
    // Nobody waits for it any more: it was asked for twice, and the window is as full as it was.
    if (request) this.learn(nowUs, request, message);
    this.advance(nowUs);
    return true;
  }

  /** One was not answered in time: all are forgotten, and advance() makes the first of them again. What comes nevertheless counts. */
  expire(nowUs: number): void {
    if (nowUs < this.deadlineUs) return;
    this.unanswered++;
    this.window = 1;
    this.timeoutUs = this.clamped(2 * this.timeoutUs);
    this.requests = [];
  }

  private requestOf(message: LogParts): number {
    const first = message.what === FetchWhat.Rows ? message.from : (message.records[0]?.seqno ?? 0);
    return this.requests.findIndex(({ what, from, to }) => what === message.what && first >= from && first <= to);
  }

  private clamped(timeoutUs: number): number {
    const { resendUs } = this.context;
    return Math.min(LongestTimeoutPeriods * resendUs, Math.max(resendUs, timeoutUs));
  }

  private learn(nowUs: number, request: Request, message: LogParts): void {
    const { messageBytes } = this.context;
    this.timeoutUs = this.clamped(Math.max(2 * (nowUs - request.sentUs), 0.9 * this.timeoutUs));
    this.window = Math.min(MostOutstanding, this.window + 1);
    if (message.what === FetchWhat.Rows) return;
    const { records } = message;
    const whole = records.at(-1)?.seqno === request.to;
    this.recordsPerReply = whole ? Math.min(MostRecords, Math.ceil(this.recordsPerReply * 1.25)) : Math.max(1, records.length);
    // Large ones go one at a time.
    if (records.some(({ record }) => record.length > messageBytes)) this.window = 1;
  }
}
