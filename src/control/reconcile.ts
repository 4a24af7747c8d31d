/**
 * One reconciliation, from leaving the old view until a START-VIEW is installed (section 4.2.3 of the paper): START-RECONCILIATION to
 * all, RECONCILE to the new view's leader; there the logs are put together and merged, once.
 */
import { Guard, MessageType, type Mode, ReplicaStatus } from "../data/binding.js";
import type { Context } from "./context.js";
import { type InstallHost, installRows, installSnapshot } from "./install.js";
import { LogFetch } from "./log-fetch.js";
import { commonPrefix, hashKey, type LogRow, ownRows, RecordPool, recordOf } from "./log-rows.js";
import { lineUp } from "./member-log.js";
import { reconfigurationKey } from "./membership.js";
import { highestLogs, type MergeLog, type MergeResult, merge } from "./merge.js";
import { encodeReconcile, encodeStartReconciliation, type LogParts, type ReconcileMessage } from "./messages.js";
import { type Snapshot, snapshotHash } from "./snapshot.js";
import type { SnapshotFetch } from "./snapshot-fetch.js";

const Never = Number.POSITIVE_INFINITY;
// Messages are resent every resendMs at first; towards replicas that stay silent ever more rarely, up to this many periods.
const SlowestResend = 10;
const QuickResends = 10;

export interface ReconciliationHost extends InstallHost {
  /** Mode of the view that a merge starts; `last`: that of the view the logs come from; `heard`: the others that take part. */
  chooseMode(nowUs: number, view: number, last: Mode, heard: ReadonlySet<number>): Mode;
  /** Whether replicas that are no members yet may still come and would matter for the mode. */
  expectsMore(heard: ReadonlySet<number>): boolean;
}

interface Member {
  message: ReconcileMessage;
  /** undefined: it begins behind what is known here. */
  fetch: LogFetch | undefined;
  complete: boolean;
}

export class Reconciliation {
  private readonly context: Context;
  private readonly host: ReconciliationHost;
  private readonly snapshots: SnapshotFetch;
  /** The view it leads to; the log is frozen for it. */
  private view = 0;
  /** Others that take part. */
  readonly heard = new Set<number>();
  private readonly members = new Map<number, Member>();
  private pool: RecordPool;
  /** What the merge begins with where the own log does not reach a member's. */
  private snapshot: Snapshot | undefined;
  private reconcileBody: Uint8Array | undefined;
  private leaderHasIt = false;
  private resends = 0;
  private resendUs = Never;
  private mergeUs = Never;
  private merged = false;
  /** Only while MergeOnce is switched off: what the own log was when it was merged. */
  private frozenOwn: { log: MergeLog<LogRow>; low: number } | undefined;

  constructor(context: Context, host: ReconciliationHost, snapshots: SnapshotFetch) {
    this.context = context;
    this.snapshots = snapshots;
    this.host = host;
    this.pool = new RecordPool(context.data, context.fetched);
  }

  /** The log is frozen for `view`. `announce`: tell the others at once. */
  enter(nowUs: number, view: number, announce: boolean): void {
    this.view = view;
    this.heard.clear();
    this.members.clear();
    this.pool = new RecordPool(this.context.data, this.context.fetched);
    this.snapshot = undefined;
    this.reconcileBody = undefined;
    this.leaderHasIt = false;
    this.resends = 0;
    this.mergeUs = Never;
    this.merged = false;
    this.frozenOwn = undefined;
    this.resendUs = nowUs + this.context.resendUs;
    if (announce) this.sendStart(-1);
    this.quorumReached(nowUs);
  }

  /** START-RECONCILIATION to one replica, or to all (-1). */
  sendStart(to: number): void {
    const { incarnation, vector } = this.context;
    const body = encodeStartReconciliation({ view: this.view, incarnation, recovering: false, vector });
    this.context.send(to, MessageType.StartReconciliation, body);
  }

  onStart(nowUs: number, from: number): void {
    if (this.heard.has(from)) return;
    this.heard.add(from);
    this.quorumReached(nowUs);
  }

  /** False: malformed. */
  onReconcile(nowUs: number, from: number, message: ReconcileMessage): boolean {
    if (message.vector.length !== this.context.n) return false;
    this.onStart(nowUs, from);
    const known = this.members.get(from);
    if (known) {
      // The log it tells of stands still; what its sender knows of crashes may be new.
      if (message.incarnation === known.message.incarnation) known.message.vector = greatest(known.message.vector, message.vector);
      this.considerMerge(nowUs);
      return true;
    }
    const member: Member = { message, fetch: undefined, complete: false };
    if (!this.lineUp(nowUs, from, member)) return false;
    this.members.set(from, member);
    this.advance(nowUs, member);
    return true;
  }

  /** False: records that do not belong to the log. */
  onFetchReply(nowUs: number, from: number, message: LogParts): boolean {
    const member = this.members.get(from);
    if (message.view !== this.view || !member?.fetch || member.complete) return true;
    const fits = member.fetch.onReply(nowUs, message);
    if (fits) this.completed(nowUs, member);
    return fits;
  }

  /** The crash vector has news, which the leader of the merge must have. */
  onVectorNews(): void {
    this.reconcileBody = undefined;
    this.leaderHasIt = false;
    this.sendReconcile();
  }

  /** The leader asks for parts of the log, so it has the RECONCILE. */
  onFetched(from: number): void {
    if (from === this.context.leaderOf(this.view)) this.leaderHasIt = true;
  }

  onTimer(nowUs: number): void {
    if (this.context.data.status !== ReplicaStatus.Reconciliation) return;
    if (nowUs >= this.resendUs) this.resend(nowUs);
    for (const member of this.members.values()) {
      if (nowUs < fetchDueUs(member)) continue;
      member.fetch?.expire(nowUs);
      this.advance(nowUs, member);
    }
    if (nowUs >= this.mergeUs) this.merge(nowUs);
  }

  get deadlineUs(): number {
    if (this.context.data.status !== ReplicaStatus.Reconciliation) return Never;
    let due = Math.min(this.resendUs, this.mergeUs);
    for (const member of this.members.values()) due = Math.min(due, fetchDueUs(member));
    return due;
  }

  private resend(nowUs: number): void {
    this.resends++;
    const slower = Math.min(SlowestResend, Math.max(1, this.resends - QuickResends));
    this.resendUs = nowUs + this.context.resendUs * slower;
    this.sendStart(-1);
    if (this.leaderHasIt) return;
    this.sendReconcile();
  }

  private quorumReached(nowUs: number): void {
    if (this.heard.size < this.context.f) return;
    if (this.context.leaderOf(this.view) === this.context.replica) this.considerMerge(nowUs);
    else if (!this.reconcileBody) this.sendReconcile();
  }

  private sendReconcile(): void {
    if (this.context.leaderOf(this.view) === this.context.replica || this.heard.size < this.context.f) return;
    this.reconcileBody ??= this.encodeReconcile();
    this.context.send(this.context.leaderOf(this.view), MessageType.Reconcile, this.reconcileBody);
  }

  private encodeReconcile(): Uint8Array {
    const { data, maxRows, incarnation, lastNormalView, vector } = this.context;
    const { committed, logEnd: end, mode } = data;
    const to = Math.min(end, committed + maxRows);
    return encodeReconcile({
      view: this.view,
      lastNormalView,
      mode,
      incarnation,
      base: data.logBase,
      committed,
      committedHash: data.hashAt(committed),
      accepted: data.accepted,
      end,
      vector,
      rows: to > committed ? data.suffixRows(committed + 1, to) : new Uint8Array(0),
    });
  }

  /** False: malformed. A snapshot is fetched first where nothing else tells what the member's log begins with. */
  private lineUp(nowUs: number, from: number, member: Member): boolean {
    const lined = lineUp(this.context, this.pool, member.message, this.snapshot);
    member.fetch = undefined;
    member.complete = false;
    if ("log" in lined) {
      member.fetch = new LogFetch(this.context, this.view, from, lined.log);
      return lined.log.addRows(member.message.committed + 1, member.message.rows);
    }
    if ("conflict" in lined) this.host.fail(`replica ${from} committed another entry at ${lined.conflict}`);
    if (!("behind" in lined)) return false;
    const sources = [from, ...[...this.members.keys()].filter((replica) => replica !== from)];
    this.snapshots.start(nowUs, sources, lined.behind, (doneUs, snapshot) => this.staged(doneUs, snapshot));
    return true;
  }

  private staged(nowUs: number, snapshot: Snapshot): void {
    // A COMMIT that came meanwhile may have made it superfluous.
    this.snapshot = snapshot.seqno > this.context.data.committed ? snapshot : undefined;
    for (const [from, member] of this.members) {
      if (!this.lineUp(nowUs, from, member)) this.members.delete(from);
    }
    for (const member of this.members.values()) this.advance(nowUs, member);
  }

  private advance(nowUs: number, member: Member): void {
    if (!member.fetch) return;
    member.fetch.advance(nowUs);
    this.completed(nowUs, member);
  }

  private completed(nowUs: number, member: Member): void {
    member.complete = member.fetch?.log.complete ?? false;
    this.considerMerge(nowUs);
  }

  private considerMerge(nowUs: number): void {
    if (this.merged && this.context.guard(Guard.MergeOnce)) return;
    const valid = this.validMembers();
    if (!this.context.guard(Guard.CompleteReconcile)) {
      if (this.members.size >= this.context.f) this.merge(nowUs);
      return;
    }
    if (valid.length < this.context.f) return;
    const { graceUs, heartbeatUs } = this.context;
    const absent = this.host.expectsMore(this.heard);
    const waiting = absent || [...this.heard].some((replica) => !valid.includes(replica));
    if (!waiting || graceUs === 0) this.merge(nowUs);
    else if (this.mergeUs === Never) this.mergeUs = nowUs + (absent ? Math.max(graceUs, heartbeatUs / 2) : graceUs);
  }

  /**
   * Members whose logs may be merged together: complete, and of no earlier incarnation than any of them (or this replica) knows of.
   */
  private validMembers(): number[] {
    let valid = [...this.members.keys()].filter((replica) => this.members.get(replica)?.complete).sort((a, b) => a - b);
    if (!this.context.guard(Guard.QuorumIncarnations)) return valid;
    for (;;) {
      const vectors = [this.context.vector, ...valid.map((replica) => (this.members.get(replica) as Member).message.vector)];
      const stale = (replica: number): boolean =>
        vectors.some((vector) => (vector[replica] as number) > (this.members.get(replica) as Member).message.incarnation);
      const rest = valid.filter((replica) => !stale(replica));
      if (rest.length === valid.length) return valid;
      valid = rest;
    }
  }

  private merge(nowUs: number): void {
    this.mergeUs = Never;
    const { data, replica: self } = this.context;
    if (this.snapshot && data.committed >= this.snapshot.seqno) {
      this.staged(nowUs, this.snapshot);
      return;
    }
    this.merged = true;
    const valid = this.validMembers();
    const members = valid.map((replica) => this.members.get(replica) as Member & { fetch: LogFetch });
    const lowest = Math.min(this.frozenOwn?.low ?? data.committed, ...members.map((m) => Math.min(m.message.committed, m.fetch.log.low)));
    const snapshot = this.snapshot;
    const base = snapshot?.seqno ?? Math.max(lowest, data.logBase);
    const baseHash = snapshot ? snapshotHash(snapshot) : data.hashAt(base);
    const own = this.ownLog(base);
    const logs = members.map(
      (member, i): MergeLog<LogRow> => ({
        replica: valid[i] as number,
        lastNormalView: member.message.lastNormalView,
        mode: member.message.mode,
        committed: member.message.committed,
        accepted: member.message.accepted,
        rows: [...ownRows(data, base, member.fetch.log.low), ...member.fetch.log.rows],
      }),
    );
    const rules = this.context.mergeRules();
    const last = highestLogs([own, ...logs], rules)[0]?.mode as Mode;
    const mode = this.host.chooseMode(nowUs, this.view, last, this.heard);
    const result = merge(base, [own, ...logs], rules, mode);
    if (!this.endEpoch(nowUs, snapshot ? 0 : base, result)) return;
    const rows = this.chain(base, baseHash, result.kept, result.appended);
    const vectors = [this.context.vector, ...members.map((m) => m.message.vector)];
    const start = {
      view: this.view,
      mode,
      mask: valid.reduce((mask, replica) => (mask | (1 << replica)) >>> 0, (1 << self) >>> 0),
      base,
      baseHash,
      end: base + rows.length,
      endHash: rows.at(-1)?.hash ?? baseHash,
      minVector: this.context.vector.map((_, r) => Math.min(...vectors.map((vector) => vector[r] as number))),
      maxVector: this.context.vector.map((_, r) => Math.max(...vectors.map((vector) => vector[r] as number))),
    };
    if (!this.context.guard(Guard.MergeOnce)) this.materialize(base, own, members);
    if (snapshot) installSnapshot(this.context, this.host, nowUs, start, snapshot, rows);
    else installRows(this.context, this.host, nowUs, start, rows, commonPrefix(data, base, rows));
  }

  /** The reconfiguration that is asked for goes last, and nothing behind the one that is there. False: something does. */
  private endEpoch(nowUs: number, base: number, { kept, appended }: MergeResult<LogRow>): boolean {
    const operation = reconfigurationKey(this.context.epoch + 1);
    // Committed everywhere it is the entry at `base`, and no row.
    const ended = ownRows(this.context.data, Math.max(base - 1, this.context.data.logBase), base)[0]?.operation === operation;
    const at = ended ? -1 : kept.findIndex((row) => row.operation === operation);
    if (ended || at >= 0) {
      if (at === kept.length - 1 && appended.length === 0) return true;
      this.host.fail(`entries follow the end of epoch ${this.context.epoch}`);
      return false;
    }
    const wanted = this.context.reconfiguration(nowUs);
    if (wanted) appended.push({ seqno: 0, hash: new Uint8Array(0), key: "", operation, record: wanted.record });
    return true;
  }

  private ownLog(base: number): MergeLog<LogRow> {
    const { data, replica, lastNormalView } = this.context;
    if (this.frozenOwn) {
      const { log, low } = this.frozenOwn;
      return { ...log, rows: [...ownRows(data, base, low), ...log.rows] };
    }
    return {
      replica,
      lastNormalView,
      mode: data.mode,
      committed: data.committed,
      accepted: data.accepted,
      rows: ownRows(data, base, data.logEnd),
    };
  }

  /** The new log above `base`: kept entries keep their summary hash, appended ones get a new one. */
  private chain(base: number, baseHash: Uint8Array, kept: readonly LogRow[], appended: readonly LogRow[]): LogRow[] {
    const { data } = this.context;
    const rows = [...kept];
    let hash = rows.at(-1)?.hash ?? baseHash;
    for (const row of appended) {
      const record = recordOf(data, row);
      hash = data.summaryHash(hash, record);
      rows.push({ seqno: base + rows.length + 1, hash, key: hashKey(hash), operation: row.operation, record });
    }
    return rows;
  }

  /** A second merge, which only a test build makes, needs the logs as they were: the own log changes at the install. */
  private materialize(base: number, own: MergeLog<LogRow>, members: readonly { fetch: LogFetch }[]): void {
    const { data } = this.context;
    for (const row of own.rows) row.record ??= data.record(row.seqno);
    for (const member of members) for (const row of member.fetch.log.rows) row.record ??= data.record(row.seqno);
    this.frozenOwn ??= { log: own, low: base };
  }
}

function fetchDueUs({ fetch, complete }: Member): number {
  return complete ? Never : (fetch?.deadlineUs ?? Never);
}

function greatest(a: readonly number[], b: readonly number[]): number[] {
  return a.map((value, i) => Math.max(value, b[i] ?? 0));
}
