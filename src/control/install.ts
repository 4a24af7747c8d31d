/** Installing a START-VIEW: rows compared with the own log, what is missing fetched, then one step into the new view. */
import { MessageType } from "../data/binding.js";
import { type Context, MaxSuffixEntries } from "./context.js";
import { hashKey, type LogRow, RecordPool, recordOf } from "./log-rows.js";
import { encodeFetch, type FetchReplyMessage, FetchWhat, type StartViewMessage } from "./messages.js";
import { RemoteLog } from "./remote-log.js";
import type { ViewStart } from "./view-start.js";

const Never = Number.POSITIVE_INFINITY;

export interface InstallHost {
  /** The view's log is in place; status is NORMAL. */
  installed(nowUs: number, start: ViewStart): void;
  fail(message: string): void;
}

/** Puts `rows`, the entries above `low` of view `start.view`'s log, in the place of own entries above the common prefix. */
export function installRows(
  context: Context,
  host: InstallHost,
  nowUs: number,
  start: ViewStart,
  rows: readonly LogRow[],
  common: number,
): void {
  const { data } = context;
  if (common < data.committed) {
    host.fail(`view ${start.view} would replace entry ${common + 1}, but ${data.committed} entries are committed`);
    return;
  }
  const records = rows.filter((row) => row.seqno > common).map((row) => recordOf(data, row));
  data.install(start.view, start.mode, common, records);
  const last = rows.at(-1);
  if (last && hashKey(data.hashAt(start.end)) !== last.key) {
    host.fail(`the log of view ${start.view} has another summary hash after it was installed`);
    return;
  }
  context.vector = context.vector.map((known, replica) => Math.max(known, start.maxVector[replica] as number));
  data.count("reconciliations");
  host.installed(nowUs, start);
}

interface Installation {
  start: ViewStart;
  log: RemoteLog;
  /** Whom to fetch from; `spare` sent the START-VIEW too. */
  source: number;
  spare: number;
  fetchUs: number;
  unanswered: number;
}

const TriesPerSource = 3;

export class Installer {
  readonly #context: Context;
  readonly #host: InstallHost;
  #running: Installation | undefined;

  constructor(context: Context, host: InstallHost) {
    this.#context = context;
    this.#host = host;
  }

  cancel(): void {
    this.#running = undefined;
  }

  /** The caller has frozen the log for this view. False: malformed. */
  begin(nowUs: number, from: number, message: StartViewMessage): boolean {
    const { data } = this.#context;
    if (this.#running?.start.view === message.view) {
      this.#running.spare = from;
      return true;
    }
    const low = data.committed;
    if (message.minVector.length !== this.#context.n || message.end - Math.min(low, message.base) > MaxSuffixEntries) return false;
    if (message.end < low) {
      this.#host.fail(`view ${message.view} starts with ${message.end} entries, but ${low} are committed`);
      return true;
    }
    const { rows, ...start } = message;
    const log = new RemoteLog(data, new RecordPool(data), low, message.end);
    if (!log.addRows(message.base + 1, rows)) return false;
    const hashAtLow = this.#hashAt(message, low);
    if (hashAtLow !== undefined && hashAtLow !== hashKey(data.hashAt(low))) {
      this.#host.fail(`view ${message.view} conflicts with the committed entry ${low}`);
      return true;
    }
    this.#running = { start, log, source: from, spare: from, fetchUs: Never, unanswered: 0 };
    this.#advance(nowUs);
    return true;
  }

  /** The message's summary hash at `seqno`, if it shows it. */
  #hashAt(message: StartViewMessage, seqno: number): string | undefined {
    if (seqno === message.base) return hashKey(message.baseHash);
    const at = (seqno - message.base - 1) * 48;
    return at >= 0 && at < message.rows.length ? hashKey(message.rows.subarray(at, at + 32)) : undefined;
  }

  /** False: records that do not belong to the log. */
  onFetchReply(nowUs: number, from: number, message: FetchReplyMessage): boolean {
    const running = this.#running;
    if (running?.start.view !== message.view || from !== running.source) return true;
    running.unanswered = 0;
    const fits =
      message.what === FetchWhat.Rows ? running.log.addRows(message.from, message.rows) : running.log.addRecords(message.records);
    if (fits) this.#advance(nowUs);
    return fits;
  }

  onTimer(nowUs: number): void {
    const running = this.#running;
    if (!running || nowUs < running.fetchUs) return;
    if (++running.unanswered >= TriesPerSource && running.spare !== running.source) {
      running.source = running.spare;
      running.unanswered = 0;
    }
    this.#advance(nowUs);
  }

  get deadlineUs(): number {
    return this.#running?.fetchUs ?? Never;
  }

  #advance(nowUs: number): void {
    const running = this.#running as Installation;
    const missing = running.log.missing();
    if (missing) {
      running.fetchUs = nowUs + this.#context.resendUs;
      this.#context.send(running.source, MessageType.Fetch, encodeFetch({ view: running.start.view, ...missing }));
      return;
    }
    this.#running = undefined;
    const { log, start } = running;
    // A COMMIT may have come meanwhile; what it committed is part of both logs.
    installRows(this.#context, this.#host, nowUs, start, log.rows, log.common);
  }
}
