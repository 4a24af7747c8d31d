/**
 * One reconciliation, from leaving the old view until a START-VIEW is installed (section 4.2.3 of the paper): START-RECONCILIATION to
 * all, RECONCILE to the new view's leader; there the logs are put together and merged, once.
 */
import { Guard, MessageType, Mode, ReplicaStatus } from "../data/binding.js";
import { type Context, MaxSuffixEntries } from "./context.js";
import { type InstallHost, installRows } from "./install.js";
import { commonPrefix, hashKey, type LogRow, ownRows, RecordPool, recordOf } from "./log-rows.js";
import { type MergeLog, merge } from "./merge.js";
import {
  encodeFetch,
  encodeReconcile,
  encodeStartReconciliation,
  type FetchReplyMessage,
  FetchWhat,
  type ReconcileMessage,
} from "./messages.js";
import { RemoteLog } from "./remote-log.js";

const Never = Number.POSITIVE_INFINITY;
// Messages are resent every resendMs at first; towards replicas that stay silent ever more rarely, up to this many periods.
const SlowestResend = 10;
const QuickResends = 10;

interface Member {
  message: ReconcileMessage;
  log: RemoteLog;
  fetchUs: number;
  complete: boolean;
}

export class Reconciliation {
  readonly #context: Context;
  readonly #host: InstallHost;
  /** The view it leads to; the log is frozen for it. */
  #view = 0;
  /** Others that take part. */
  readonly heard = new Set<number>();
  readonly #members = new Map<number, Member>();
  #pool: RecordPool;
  #reconcileBody: Uint8Array | undefined;
  #leaderHasIt = false;
  #resends = 0;
  #resendUs = Never;
  #mergeUs = Never;
  #merged = false;
  /** Only while MergeOnce is switched off: what the own log was when it was merged. */
  #frozenOwn: { log: MergeLog<LogRow>; low: number } | undefined;

  constructor(context: Context, host: InstallHost) {
    this.#context = context;
    this.#host = host;
    this.#pool = new RecordPool(context.data);
  }

  /** The log is frozen for `view`. `announce`: tell the others at once. */
  enter(nowUs: number, view: number, announce: boolean): void {
    this.#view = view;
    this.heard.clear();
    this.#members.clear();
    this.#pool = new RecordPool(this.#context.data);
    this.#reconcileBody = undefined;
    this.#leaderHasIt = false;
    this.#resends = 0;
    this.#mergeUs = Never;
    this.#merged = false;
    this.#frozenOwn = undefined;
    this.#resendUs = nowUs + this.#context.resendUs;
    if (announce) this.sendStart(-1);
    this.#quorumReached(nowUs);
  }

  /** START-RECONCILIATION to one replica, or to all (-1). */
  sendStart(to: number): void {
    const body = encodeStartReconciliation({ view: this.#view, incarnation: this.#context.incarnation, recovering: false });
    this.#context.send(to, MessageType.StartReconciliation, body);
  }

  onStart(nowUs: number, from: number, recovering: boolean): void {
    if (recovering || this.heard.has(from)) return;
    this.heard.add(from);
    this.#quorumReached(nowUs);
  }

  /** False: malformed. */
  onReconcile(nowUs: number, from: number, message: ReconcileMessage): boolean {
    if (message.vector.length !== this.#context.n) return false;
    this.onStart(nowUs, from, false);
    if (this.#members.has(from)) return true;
    const log = this.#remoteLog(from, message);
    if (!log) return false;
    if (!log.addRows(message.committed + 1, message.rows)) return false;
    const member: Member = { message, log, fetchUs: Never, complete: false };
    this.#members.set(from, member);
    this.#advance(nowUs, from, member);
    return true;
  }

  /** False: records that do not belong to the log. */
  onFetchReply(nowUs: number, from: number, message: FetchReplyMessage): boolean {
    const member = this.#members.get(from);
    if (message.view !== this.#view || !member || member.complete) return true;
    const fits = message.what === FetchWhat.Rows ? member.log.addRows(message.from, message.rows) : member.log.addRecords(message.records);
    if (fits) this.#advance(nowUs, from, member);
    return fits;
  }

  /** The leader asks for parts of the log, so it has the RECONCILE. */
  onFetched(from: number): void {
    if (from === this.#context.leaderOf(this.#view)) this.#leaderHasIt = true;
  }

  onTimer(nowUs: number): void {
    if (this.#context.data.status !== ReplicaStatus.Reconciliation) return;
    if (nowUs >= this.#resendUs) this.#resend(nowUs);
    for (const [from, member] of this.#members) {
      if (nowUs >= member.fetchUs) this.#advance(nowUs, from, member);
    }
    if (nowUs >= this.#mergeUs) this.#merge(nowUs);
  }

  get deadlineUs(): number {
    if (this.#context.data.status !== ReplicaStatus.Reconciliation) return Never;
    let due = Math.min(this.#resendUs, this.#mergeUs);
    for (const member of this.#members.values()) due = Math.min(due, member.fetchUs);
    return due;
  }

  #resend(nowUs: number): void {
    this.#resends++;
    const slower = Math.min(SlowestResend, Math.max(1, this.#resends - QuickResends));
    this.#resendUs = nowUs + this.#context.resendUs * slower;
    this.sendStart(-1);
    if (this.#leaderHasIt) return;
    this.#sendReconcile();
  }

  #quorumReached(nowUs: number): void {
    if (this.heard.size < this.#context.f || this.#reconcileBody) return;
    if (this.#context.leaderOf(this.#view) === this.#context.replica) this.#considerMerge(nowUs);
    else this.#sendReconcile();
  }

  #sendReconcile(): void {
    if (this.#context.leaderOf(this.#view) === this.#context.replica || this.heard.size < this.#context.f) return;
    this.#reconcileBody ??= this.#encodeReconcile();
    this.#context.send(this.#context.leaderOf(this.#view), MessageType.Reconcile, this.#reconcileBody);
  }

  #encodeReconcile(): Uint8Array {
    const { data, maxRows, incarnation, lastNormalView, vector } = this.#context;
    const { committed, logEnd: end, mode } = data;
    const to = Math.min(end, committed + maxRows);
    return encodeReconcile({
      view: this.#view,
      lastNormalView,
      mode,
      incarnation,
      committed,
      committedHash: data.hashAt(committed),
      end,
      vector,
      rows: to > committed ? data.suffixRows(committed + 1, to) : new Uint8Array(0),
    });
  }

  /** Where the sender's log certainly equals the own one: at its committed seqno, or, where the own log does not reach it, at the own. */
  #remoteLog(from: number, message: ReconcileMessage): RemoteLog | undefined {
    const { data } = this.#context;
    const { committed, committedHash, end } = message;
    const own = data.committed;
    if (end - Math.min(own, committed) > MaxSuffixEntries) return undefined;
    const equal = committed <= data.logEnd && hashKey(data.hashAt(committed)) === hashKey(committedHash);
    if (!equal && committed <= own) {
      this.#host.fail(`replica ${from} committed another entry at ${committed}`);
      return undefined;
    }
    return new RemoteLog(data, this.#pool, equal ? committed : own, end);
  }

  #advance(nowUs: number, from: number, member: Member): void {
    const missing = member.log.missing();
    if (missing) {
      member.fetchUs = nowUs + this.#context.resendUs;
      this.#context.send(from, MessageType.Fetch, encodeFetch({ view: this.#view, ...missing }));
    } else {
      member.fetchUs = Never;
      member.complete = true;
    }
    this.#considerMerge(nowUs);
  }

  #considerMerge(nowUs: number): void {
    if (this.#merged && this.#context.guard(Guard.MergeOnce)) return;
    const valid = this.#validMembers();
    if (!this.#context.guard(Guard.CompleteReconcile)) {
      if (this.#members.size >= this.#context.f) this.#merge(nowUs);
      return;
    }
    if (valid.length < this.#context.f) return;
    const waiting = [...this.heard].some((replica) => !valid.includes(replica));
    if (!waiting || this.#context.graceUs === 0) this.#merge(nowUs);
    else if (this.#mergeUs === Never) this.#mergeUs = nowUs + this.#context.graceUs;
  }

  /**
   * Members whose logs may be merged together: complete, and of no earlier incarnation than any of them (or this replica) knows of.
   */
  #validMembers(): number[] {
    let valid = [...this.#members.keys()].filter((replica) => this.#members.get(replica)?.complete).sort((a, b) => a - b);
    for (;;) {
      const vectors = [this.#context.vector, ...valid.map((replica) => (this.#members.get(replica) as Member).message.vector)];
      const stale = (replica: number): boolean =>
        vectors.some((vector) => (vector[replica] as number) > (this.#members.get(replica) as Member).message.incarnation);
      const rest = valid.filter((replica) => !stale(replica));
      if (rest.length === valid.length) return valid;
      valid = rest;
    }
  }

  #merge(nowUs: number): void {
    this.#mergeUs = Never;
    this.#merged = true;
    const { data, replica: self } = this.#context;
    const valid = this.#validMembers();
    const members = valid.map((replica) => this.#members.get(replica) as Member);
    const base = Math.min(this.#frozenOwn?.low ?? data.committed, ...members.map((m) => Math.min(m.message.committed, m.log.low)));
    const own = this.#ownLog(base);
    const logs = members.map(
      (member, i): MergeLog<LogRow> => ({
        replica: valid[i] as number,
        lastNormalView: member.message.lastNormalView,
        mode: member.message.mode,
        committed: member.message.committed,
        rows: [...ownRows(data, base, member.log.low), ...member.log.rows],
      }),
    );
    const result = merge(base, [own, ...logs], this.#context.mergeRules());
    const rows = this.#chain(base, result.kept, result.appended);
    const vectors = [this.#context.vector, ...members.map((m) => m.message.vector)];
    const start = {
      view: this.#view,
      mode: Mode.Speculative,
      mask: valid.reduce((mask, replica) => (mask | (1 << replica)) >>> 0, (1 << self) >>> 0),
      base,
      baseHash: data.hashAt(base),
      end: base + rows.length,
      minVector: this.#context.vector.map((_, r) => Math.min(...vectors.map((vector) => vector[r] as number))),
      maxVector: this.#context.vector.map((_, r) => Math.max(...vectors.map((vector) => vector[r] as number))),
    };
    if (!this.#context.guard(Guard.MergeOnce)) this.#materialize(base, own, members);
    installRows(this.#context, this.#host, nowUs, start, rows, commonPrefix(data, base, rows));
  }

  #ownLog(base: number): MergeLog<LogRow> {
    const { data, replica, lastNormalView } = this.#context;
    if (this.#frozenOwn) {
      const { log, low } = this.#frozenOwn;
      return { ...log, rows: [...ownRows(data, base, low), ...log.rows] };
    }
    return { replica, lastNormalView, mode: data.mode, committed: data.committed, rows: ownRows(data, base, data.logEnd) };
  }

  /** The new log above `base`: kept entries keep their summary hash, appended ones get a new one. */
  #chain(base: number, kept: readonly LogRow[], appended: readonly LogRow[]): LogRow[] {
    const { data } = this.#context;
    const rows = [...kept];
    let hash = rows.at(-1)?.hash ?? data.hashAt(base);
    for (const row of appended) {
      const record = recordOf(data, row);
      hash = data.summaryHash(hash, record);
      rows.push({ seqno: base + rows.length + 1, hash, key: hashKey(hash), operation: row.operation, record });
    }
    return rows;
  }

  /** A second merge, which only a test build makes, needs the logs as they were: the own log changes at the install. */
  #materialize(base: number, own: MergeLog<LogRow>, members: readonly Member[]): void {
    const { data } = this.#context;
    for (const row of own.rows) row.record ??= data.record(row.seqno);
    for (const member of members) for (const row of member.log.rows) row.record ??= data.record(row.seqno);
    this.#frozenOwn ??= { log: own, low: base };
  }
}
