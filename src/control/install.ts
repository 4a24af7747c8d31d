/** Installing a START-VIEW: rows compared with the own log, what is missing fetched, then one step into the new view. */
import { Guard, ReplicaStatus } from "../data/binding.js";
import { type Context, MaxSuffixEntries } from "./context.js";
import { LogFetch } from "./log-fetch.js";
import { hashKey, type LogRow, RecordPool, recordOf } from "./log-rows.js";
import { configurationOf } from "./membership.js";
import { HashBytes, type LogParts, RowBytes, type StartViewMessage } from "./messages.js";
import { RemoteLog } from "./remote-log.js";
import { type Snapshot, snapshotHash } from "./snapshot.js";
import type { SnapshotFetch } from "./snapshot-fetch.js";
import type { ViewStart } from "./view-start.js";

const Never = Number.POSITIVE_INFINITY;

export interface InstallHost {
  /** The view's log is in place; status is NORMAL. */
  installed(nowUs: number, start: ViewStart): void;
  /** The replica's state was replaced by this snapshot. */
  restored(nowUs: number, snapshot: Snapshot): void;
  requestView(nowUs: number, from: number, view: number): void;
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
  const { mode } = data;
  data.install(start.view, start.mode, common, records);
  finish(context, host, nowUs, start, mode);
}

/** The same where the own log does not reach the view's: `rows` are the entries above the snapshot. */
export function installSnapshot(
  context: Context,
  host: InstallHost,
  nowUs: number,
  start: ViewStart,
  snapshot: Snapshot,
  rows: readonly LogRow[],
): void {
  const { data } = context;
  const records = rows.map((row) => recordOf(data, row));
  const { mode } = data;
  if (!data.installSnapshot(start.view, start.mode, snapshot, records)) return;
  host.restored(nowUs, snapshot);
  finish(context, host, nowUs, start, mode);
}

function finish(context: Context, host: InstallHost, nowUs: number, start: ViewStart, modeBefore: number): void {
  const { data } = context;
  if (start.end >= data.logBase && hashKey(data.hashAt(start.end)) !== hashKey(start.endHash)) {
    host.fail(`the log of view ${start.view} has another summary hash after it was installed`);
    return;
  }
  if (context.guard(Guard.AdoptVector)) context.learn(start.maxVector);
  data.count("reconciliations");
  if (modeBefore !== start.mode) data.count("modeSwitches");
  host.installed(nowUs, start);
}

interface Installation {
  message: StartViewMessage;
  /** undefined while the snapshot that comes before it is fetched. */
  fetch: LogFetch | undefined;
  snapshot: Snapshot | undefined;
  /** Sent the START-VIEW too: the one to fetch from where `source` does not answer. */
  spare: number;
  triedBoth: boolean;
}

type Started = Installation & { fetch: LogFetch };

/** Time-outs, each twice as long as the one before. */
const TriesPerSource = 4;

export class Installer {
  private readonly context: Context;
  private readonly host: InstallHost;
  private readonly snapshots: SnapshotFetch;
  private installation: Installation | undefined;

  constructor(context: Context, host: InstallHost, snapshots: SnapshotFetch) {
    this.context = context;
    this.host = host;
    this.snapshots = snapshots;
  }

  get running(): boolean {
    return this.installation !== undefined;
  }

  cancel(): void {
    this.installation = undefined;
  }

  /** The caller has frozen the log for this view. False: malformed. */
  begin(nowUs: number, from: number, message: StartViewMessage): boolean {
    const { data } = this.context;
    if (this.installation?.message.view === message.view) {
      this.installation.spare = from;
      return true;
    }
    const { committed } = data;
    if (message.minVector.length !== this.context.n || message.end - Math.min(committed, message.base) > MaxSuffixEntries) return false;
    if (message.end < committed) {
      this.host.fail(`view ${message.view} starts with ${message.end} entries, but ${committed} are committed`);
      return true;
    }
    const hashAtCommitted = hashAt(message, committed);
    if (hashAtCommitted !== undefined && hashAtCommitted !== hashKey(data.hashAt(committed))) {
      this.host.fail(`view ${message.view} conflicts with the committed entry ${committed}`);
      return true;
    }
    const running: Installation = {
      message,
      fetch: undefined,
      snapshot: undefined,
      spare: from,
      triedBoth: false,
    };
    // Above the committed entries the logs may be known to be equal, too.
    const shared =
      message.base > committed && message.base <= data.logEnd && hashAt(message, message.base) === hashKey(data.hashAt(message.base));
    const low = shared ? message.base : committed;
    if (message.logBase > low) {
      this.installation = running;
      this.snapshots.start(nowUs, [from], message.logBase, (doneUs, snapshot) => this.staged(doneUs, from, running, snapshot));
      return true;
    }
    if (!this.lineUp(running, from, low, data.hashAt(low))) return false;
    this.installation = running;
    this.advance(nowUs);
    return true;
  }

  /** False: records that do not belong to the log. */
  onFetchReply(nowUs: number, from: number, message: LogParts): boolean {
    const running = this.installation;
    if (!running?.fetch || running.message.view !== message.view || from !== running.fetch.source) return true;
    const fits = running.fetch.onReply(nowUs, message);
    if (fits && running.fetch.log.complete) this.finish(nowUs);
    return fits;
  }

  onTimer(nowUs: number): void {
    const running = this.installation;
    if (!running?.fetch || nowUs < running.fetch.deadlineUs) return;
    const { fetch } = running;
    fetch.expire(nowUs);
    if (fetch.unanswered >= TriesPerSource) {
      if (running.triedBoth || running.spare === fetch.source) {
        // They may have forgotten what is asked for; a new START-VIEW tells.
        this.installation = undefined;
        this.host.requestView(nowUs, running.spare, running.message.view);
        return;
      }
      running.fetch = new LogFetch(this.context, running.message.view, running.spare, fetch.log);
      running.triedBoth = true;
    }
    this.advance(nowUs);
  }

  get deadlineUs(): number {
    return this.installation?.fetch?.deadlineUs ?? Never;
  }

  private staged(nowUs: number, from: number, running: Installation, snapshot: Snapshot): void {
    if (this.installation !== running) return;
    const { data } = this.context;
    const { message } = running;
    if (this.snapshots.view > message.view) {
      // Its sender has gone on: what was committed in its view need not be of this view's log. That view's START-VIEW goes with the snapshot.
      this.installation = undefined;
      this.host.requestView(nowUs, from, this.snapshots.view);
      return;
    }
    const shown = hashAt(message, snapshot.seqno);
    if (shown !== undefined && shown !== hashKey(snapshotHash(snapshot))) {
      this.host.fail(`view ${message.view} conflicts with the snapshot at ${snapshot.seqno}`);
      return;
    }
    // A COMMIT that came meanwhile may have made it superfluous.
    const needed = snapshot.seqno > data.committed;
    const low = needed ? snapshot.seqno : data.committed;
    running.snapshot = needed ? snapshot : undefined;
    if (this.lineUp(running, from, low, needed ? snapshotHash(snapshot) : data.hashAt(low))) this.advance(nowUs);
    else this.installation = undefined;
  }

  private lineUp(running: Installation, from: number, low: number, anchor: Uint8Array): boolean {
    const { data, fetched } = this.context;
    const { message } = running;
    const log = new RemoteLog(data, new RecordPool(data, fetched), low, Math.max(low, message.end), anchor);
    running.fetch = new LogFetch(this.context, message.view, from, log);
    return log.addRows(message.base + 1, message.rows);
  }

  private advance(nowUs: number): void {
    const { fetch } = this.installation as Started;
    if (fetch.log.complete) this.finish(nowUs);
    else fetch.advance(nowUs);
  }

  private finish(nowUs: number): void {
    const running = this.installation as Started;
    const { message, snapshot } = running;
    const { log, source } = running.fetch;
    const { data } = this.context;
    if (snapshot && data.committed >= snapshot.seqno) {
      this.staged(nowUs, source, running, snapshot);
      return;
    }
    this.installation = undefined;
    if (data.status === ReplicaStatus.Recovery && this.endsEpoch(message.end, log, snapshot)) return;
    const { rows: _rows, logBase: _logBase, ...start } = message;
    if (snapshot) installSnapshot(this.context, this.host, nowUs, start, snapshot, log.rows);
    // A COMMIT may have come meanwhile; what it committed is part of both logs.
    else installRows(this.context, this.host, nowUs, start, log.rows, log.common);
  }

  /**
   * With such a last entry committed the next epoch begins, and a replica that recovers may have taken part in it before it lost its memory: it
   * stays without a view until it is told of that epoch, and recovers there. Where a quorum that knows of its incarnation has no such entry, none
   * was committed before.
   */
  private endsEpoch(end: number, log: RemoteLog, snapshot: Snapshot | undefined): boolean {
    const { data, epoch } = this.context;
    if (end <= (snapshot?.seqno ?? data.logBase)) return false;
    const last = log.rows.at(-1);
    return configurationOf(last ? recordOf(data, last) : data.record(end))?.epoch === epoch + 1;
  }
}

/** The message's summary hash at `seqno`, if it shows it. */
function hashAt(message: StartViewMessage, seqno: number): string | undefined {
  if (seqno === message.base) return hashKey(message.baseHash);
  const at = (seqno - message.base - 1) * RowBytes;
  return at >= 0 && at < message.rows.length ? hashKey(message.rows.subarray(at, at + HashBytes)) : undefined;
}
