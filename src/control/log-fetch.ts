/** Fetches what is missing of a RemoteLog from one replica: a few FETCHes at a time, each for entries that no other asks for. */
import { MessageType } from "../data/binding.js";
import type { Context } from "./context.js";
import { FetchWindow } from "./fetch-window.js";
import { encodeFetch, type FetchRange, FetchWhat, type LogParts } from "./messages.js";
import type { RemoteLog } from "./remote-log.js";

export class LogFetch {
  private readonly context: Context;
  private readonly view: number;
  private readonly window: FetchWindow;

  constructor(
    context: Context,
    view: number,
    readonly source: number,
    readonly log: RemoteLog,
  ) {
    this.context = context;
    this.view = view;
    this.window = new FetchWindow(context);
  }

  /** When expire() is due. */
  get deadlineUs(): number {
    return this.window.deadlineUs;
  }

  /** Time-outs since something came. */
  get unanswered(): number {
    return this.window.unanswered;
  }

  /** Asks for more, as far as the window allows. */
  advance(nowUs: number): void {
    const { context, log, window } = this;
    window.requests = window.requests.filter((request) => request.what === log.what);
    while (window.hasRoom) {
      const missing = log.missing(window.requests, log.what === FetchWhat.Rows ? context.maxRows : window.recordsPerReply);
      if (!missing) return;
      const { what, ranges } = missing;
      window.asked(nowUs, what, { from: (ranges[0] as FetchRange).from, to: (ranges.at(-1) as FetchRange).to });
      context.send(this.source, MessageType.Fetch, encodeFetch({ view: this.view, what, ranges }));
    }
  }

  /** A FETCH-REPLY of this view from the source. False: records that do not belong to the log. */
  onReply(nowUs: number, message: LogParts): boolean {
    const { log, window } = this;
    window.unanswered = 0;
    const first = message.what === FetchWhat.Rows ? message.from : (message.records[0]?.seqno ?? 0);
    const request = window.find(message.what, first);
    if (log.hashesLater(this.source, message)) {
      if (request) window.postpone(nowUs, request);
      return true;
    }
    const fits = message.what === FetchWhat.Rows ? log.addRows(message.from, message.rows) : log.addRecords(message.records);
    if (!fits) return false;
    // Where nobody waits for it any more it was asked for twice, and the window is as full as it was.
    if (request) window.answered(nowUs, request, this.recordsOf(message));
    this.advance(nowUs);
    return true;
  }

  /** One was not answered in time: advance() makes the first of them again. */
  expire(nowUs: number): void {
    this.window.expire(nowUs);
  }

  private recordsOf(message: LogParts): { count: number; last: number; large: boolean } | undefined {
    if (message.what === FetchWhat.Rows) return undefined;
    const { records } = message;
    const { messageBytes } = this.context;
    return { count: records.length, last: records.at(-1)?.seqno ?? 0, large: records.some(({ record }) => record.length > messageBytes) };
  }
}
