/**
 * A LEADER or FAST view's control. The data plane moves PREPAREs (or counts votes) and commits by itself; what is left is what no further traffic would cause:
 * the last commits told to the backups, lost PREPAREs sent again, and the question whether to go back to SPECULATIVE.
 */
import { Mode, PrepareStats, ReplicaStatus } from "../data/binding.js";
import type { Context } from "./context.js";
import type { Heartbeats } from "./heartbeat.js";
import { HeartbeatFlag } from "./heartbeat-message.js";
import type { ModePolicy } from "./mode.js";

const Never = Number.POSITIVE_INFINITY;
const LongestResendUs = 1_000_000;
const PolicyPeriodUs = 100_000;
// A backup whose PREPARE-OKs are so many entries behind is catching up.
const NearEntries = 4096;

export interface LeaderViewHost {
  /** All is well and the order holds: the group goes back to SPECULATIVE. */
  returnToSpeculative(nowUs: number): void;
}

interface Backup {
  acked: number;
  resendUs: number;
  intervalUs: number;
}

export class LeaderView {
  private readonly context: Context;
  private readonly heartbeats: Heartbeats;
  private readonly policy: ModePolicy;
  private readonly host: LeaderViewHost;
  private readonly backups: Backup[];
  /** Due while entries are uncommitted, commits untold or backups behind. */
  private pollUs = Never;
  private policyUs = Never;
  /** Commits up to here were told by a PREPARE sent from here. */
  private told = 0;
  private committed = 0;

  constructor(context: Context, heartbeats: Heartbeats, policy: ModePolicy, host: LeaderViewHost) {
    this.context = context;
    this.heartbeats = heartbeats;
    this.policy = policy;
    this.host = host;
    this.backups = Array.from({ length: context.n }, () => ({ acked: 0, resendUs: Never, intervalUs: 0 }));
  }

  /** Whether this replica leads a LEADER or FAST view now. */
  get active(): boolean {
    const { data, leads } = this.context;
    return leads && data.status === ReplicaStatus.Normal && data.mode !== Mode.Speculative;
  }

  /** A view was entered. */
  reset(nowUs: number): void {
    const { data } = this.context;
    this.told = data.committed;
    this.committed = data.committed;
    this.pollUs = Never;
    for (const backup of this.backups) {
      backup.acked = 0;
      backup.intervalUs = this.context.resendUs;
      backup.resendUs = nowUs + this.context.resendUs;
    }
    this.policyUs = this.active && this.policy.adaptive ? nowUs + PolicyPeriodUs : Never;
    this.onProgress(nowUs);
  }

  /** The log grew, or something was committed. */
  onProgress(nowUs: number): void {
    if (this.active && this.pollUs === Never && this.busy()) this.pollUs = nowUs + this.context.syncMinUs;
  }

  /** Only an idle leader has to hear of growth at once; a busy one looks by itself. */
  get progressSeqno(): number {
    return this.pollUs === Never && this.active ? this.context.data.logEnd + 1 : Never;
  }

  /** A client misses an answer. */
  onComplaint(nowUs: number): void {
    for (let replica = 0; replica < this.context.n; replica++) if (this.behind(replica)) this.again(nowUs, replica);
  }

  /**
   * Per replica, how far its log is known to reach towards `seqno`: while one comes nearer it catches up, and the entry will be committed.
   * Infinity: it is on its way into this view, and gives it up by itself if it does not get there.
   */
  reach(seqno: number): number[] {
    const { n, data } = this.context;
    return Array.from({ length: n }, (_, replica) => {
      const last = this.heartbeats.lastOf(replica);
      if (last?.view !== data.view || this.heartbeats.isSilent(replica)) return 0;
      return (last.flags & HeartbeatFlag.Normal) === 0 ? Number.POSITIVE_INFINITY : Math.min(last.end, seqno);
    });
  }

  onTimer(nowUs: number): void {
    if (!this.active) return;
    if (nowUs >= this.pollUs) this.poll(nowUs);
    if (nowUs >= this.policyUs) this.considerReturn(nowUs);
  }

  get deadlineUs(): number {
    return this.active ? Math.min(this.pollUs, this.policyUs) : Never;
  }

  private poll(nowUs: number): void {
    const { data } = this.context;
    this.readAcks(nowUs);
    // In FAST views nothing carries the commit; in LEADER views PREPAREs do, while they go on.
    if (data.mode === Mode.Leader && data.committed > this.committed) {
      this.committed = data.committed;
    } else if (this.told < data.committed && (data.mode === Mode.Fast || data.committed === data.logEnd)) {
      this.told = data.committed;
      data.prepareAgain(-1);
    }
    for (let replica = 0; replica < this.context.n; replica++) {
      const backup = this.backups[replica] as Backup;
      if (this.behind(replica) && nowUs >= backup.resendUs) this.again(nowUs, replica);
    }
    this.pollUs = this.busy() ? nowUs + this.context.syncMinUs : Never;
  }

  /** A backup that acknowledges is served by the data plane alone. */
  private readAcks(nowUs: number): void {
    const stats = this.context.data.prepareStats();
    this.backups.forEach((backup, replica) => {
      const acked = stats[replica * PrepareStats.Columns + PrepareStats.Acked] as number;
      if (acked === backup.acked && this.behind(replica)) return;
      backup.acked = acked;
      backup.intervalUs = this.context.resendUs;
      backup.resendUs = nowUs + backup.intervalUs;
    });
  }

  private again(nowUs: number, replica: number): void {
    const backup = this.backups[replica] as Backup;
    backup.resendUs = nowUs + backup.intervalUs;
    backup.intervalUs = Math.min(LongestResendUs, backup.intervalUs * 2);
    this.context.data.prepareAgain(replica);
  }

  private busy(): boolean {
    const { data, n } = this.context;
    if (data.logEnd > data.committed || this.told < data.committed) return true;
    for (let replica = 0; replica < n; replica++) if (this.behind(replica)) return true;
    return false;
  }

  private behind(replica: number): boolean {
    if (replica === this.context.replica || this.heartbeats.isSilent(replica)) return false;
    return (this.backups[replica] as Backup).acked < this.context.data.logEnd;
  }

  private considerReturn(nowUs: number): void {
    this.policyUs = nowUs + PolicyPeriodUs;
    const { data, n, replica: self } = this.context;
    const stats = data.prepareStats();
    const counters = [];
    let well = !data.halted;
    for (let replica = 0; replica < n; replica++) {
      if (replica === self) continue;
      const at = replica * PrepareStats.Columns;
      counters.push({ compared: stats[at + PrepareStats.Compared] as number, inverted: stats[at + PrepareStats.Inverted] as number });
      const acked = stats[at + PrepareStats.Acked] as number;
      if (this.heartbeats.hasFailed(replica)) well = false;
      if (!this.heartbeats.isNormalIn(replica, data.view) || acked + NearEntries < data.logEnd || (acked === 0 && data.logEnd > 0))
        well = false;
    }
    if (this.policy.wantsSpeculative(nowUs, well, counters)) this.host.returnToSpeculative(nowUs);
  }
}
