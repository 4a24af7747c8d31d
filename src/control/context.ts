/** What every part of the control plane shares: who we are, the group's size and timing, the data plane, and the guards. */
import type { ModeChoice } from "../config/protocols.js";
import type { ClusterTiming } from "../config-types.js";
import { Guard, type MessageType } from "../data/binding.js";
import { OldestWireVersion } from "../data/wire-version.js";
import type { DataPlane } from "./data-plane.js";
import { FetchedRecords } from "./fetched-records.js";
import { GroupLoad } from "./group-load.js";
import type { MergeRules } from "./merge.js";
import { RowBytes } from "./messages.js";
import type { ModeTuning } from "./mode.js";
import { superquorum, tolerated } from "./quorums.js";
import { BootIdBytes } from "./recovery-messages.js";

export interface ControlPlaneConfig {
  replica: number;
  n: number;
  timing: ClusterTiming;
  /** How views order operations. Default "adaptive". */
  mode?: ModeChoice;
  /** Test builds and tuning; see ModeTuning. */
  modeTuning?: Partial<ModeTuning>;
  /** Bit mask of Guard; test builds only. */
  guardsOff?: number;
  /** 16 bytes, random and new at each start of the process: a recovering replica knows fresh answers by it. */
  bootId?: Uint8Array;
  /** The configuration's number: each reconfiguration ends one and begins the next. Default 0. */
  epoch?: number;
  /** The newest version of frames that this process understands. Default: the oldest. */
  newestVersion?: number;
  /** What the next merge is to end the epoch with; undefined: nothing. */
  reconfiguration?: (nowUs: number) => { epoch: number; record: Uint8Array } | undefined;
  /** What a replica that comes back from its disk is and knows; default: a new one. */
  incarnation?: number;
  vector?: readonly number[];
  /** The least incarnation that this replica may recover as. */
  leastIncarnation?: number;
  /** How long a leader that could merge waits for members that take part but are not complete yet. Default 1,500 us. */
  graceUs?: number;
  /** Rows or records in one message stop at this many bytes (a single larger record still travels). Default 64 KiB. */
  messageBytes?: number;
}

/** A suffix longer than this is no honest replica's: log limits lie below. */
export const MaxSuffixEntries = 1 << 24;

const LongestTimeoutUs = 1_000_000;
/** Group commits, one after the other, that a round of messages may wait for: what is under way at each end, and the one behind it. */
const DiskWaits = 6;
// A burst of one message must fit the default receive buffer of a UDP socket together with what else arrives.
const DefaultMessageBytes = 64 * 1024;
const HeadBytes = 512;

export class Context {
  readonly replica: number;
  readonly n: number;
  readonly f: number;
  readonly superquorum: number;
  readonly syncMinUs: number;
  readonly syncMaxUs: number;
  readonly syncEvery: number;
  readonly resendUs: number;
  readonly heartbeatUs: number;
  readonly detectUs: number;
  readonly graceUs: number;
  readonly epoch: number;
  readonly newestVersion: number;
  readonly reconfiguration: NonNullable<ControlPlaneConfig["reconfiguration"]>;
  readonly messageBytes: number;
  readonly maxRows: number;
  readonly bootId: Uint8Array;
  /** For the log of the view that is to start, or of one that failed to. */
  readonly fetched = new FetchedRecords();
  readonly load = new GroupLoad();
  /** This replica's; 1 at bootstrap. */
  incarnation: number;
  private readonly leastIncarnation: number;
  /** The crash vector: per replica, the highest incarnation known here. */
  vector: number[];
  /** Per replica, the incarnation of this one that it said it knows of. */
  private readonly known: number[];
  private readonly baseTimeoutUs: number;
  private readonly baseSyncTimeoutUs: number;
  private readonly guardsOff: number;

  constructor(
    config: ControlPlaneConfig,
    readonly data: DataPlane,
  ) {
    this.replica = config.replica;
    this.n = config.n;
    this.f = tolerated(config.n);
    this.superquorum = superquorum(config.n);
    this.syncMinUs = config.timing.syncMinMs * 1000;
    this.syncMaxUs = Math.max(config.timing.syncMaxMs, config.timing.syncMinMs) * 1000;
    this.syncEvery = config.timing.syncEvery;
    this.baseSyncTimeoutUs = config.timing.syncTimeoutMs * 1000;
    this.resendUs = config.timing.resendMs * 1000;
    this.heartbeatUs = config.timing.heartbeatMs * 1000;
    this.detectUs = config.timing.detectMs * 1000;
    this.graceUs = config.graceUs ?? 1500;
    this.epoch = config.epoch ?? 0;
    this.newestVersion = config.newestVersion ?? OldestWireVersion;
    this.reconfiguration = config.reconfiguration ?? (() => undefined);
    this.messageBytes = config.messageBytes ?? DefaultMessageBytes;
    this.maxRows = Math.max(1, Math.floor((this.messageBytes - HeadBytes) / RowBytes));
    this.bootId = config.bootId ?? new Uint8Array(BootIdBytes);
    this.incarnation = config.incarnation ?? 1;
    this.leastIncarnation = config.leastIncarnation ?? 1;
    this.vector = Array.from({ length: config.n }, (_, replica) => config.vector?.[replica] ?? 1);
    this.known = new Array(config.n).fill(1);
    this.baseTimeoutUs = config.timing.reconciliationTimeoutMs * 1000;
    this.guardsOff = config.guardsOff ?? 0;
  }

  /** Whether the guard is in force. */
  guard(bit: number): boolean {
    return (this.guardsOff & bit) === 0;
  }

  /**
   * `from` knows of this incarnation of this replica. True once f others know of a later one than this is: another process, which started
   * without memory, has taken its place, and a merge may count this one no more.
   */
  superseded(from: number, incarnation: number): boolean {
    this.known[from] = Math.max(this.known[from] as number, incarnation);
    return this.f > 0 && this.known.filter((known) => known > this.incarnation).length >= this.f;
  }

  /** This replica has lost its memory, and is another one from now on. */
  reborn(incarnation: number): void {
    this.incarnation = Math.max(incarnation, this.leastIncarnation);
    this.vector[this.replica] = this.incarnation;
  }

  /** Others' incarnations that somebody knows of; true if that was news. */
  learn(vector: readonly number[]): boolean {
    let news = false;
    this.vector = this.vector.map((known, replica) => {
      const told = vector[replica] ?? 0;
      if (replica === this.replica || told <= known) return known;
      news = true;
      return told;
    });
    return news;
  }

  leaderOf(view: number): number {
    return view % this.n;
  }

  get leads(): boolean {
    return this.leaderOf(this.data.view) === this.replica;
  }

  /** v_l as RECONCILE reports it. */
  get lastNormalView(): number {
    if (this.guard(Guard.LastNormalView)) return this.data.lastNormalView;
    return this.data.logEnd === 0 ? 0 : this.data.viewOf(this.data.logEnd);
  }

  /** An entry is not committed before a quorum's disks have it, and the leader's: where they are slow, nobody is silent yet. */
  get syncTimeoutUs(): number {
    return this.baseSyncTimeoutUs + this.diskUs;
  }

  private get diskUs(): number {
    return Math.min(LongestTimeoutUs, DiskWaits * this.data.diskDelayUs);
  }

  /** Doubles with each view in a row that came to nothing. */
  reconciliationTimeoutUs(failedViews: number): number {
    return Math.min(LongestTimeoutUs, this.baseTimeoutUs * 2 ** Math.min(failedViews, 20)) + this.diskUs;
  }

  mergeRules(): MergeRules {
    let threshold: MergeRules["threshold"] = "majorityOfHighest";
    if (!this.guard(Guard.MergeThreshold)) threshold = "majorityOfAll";
    else if (!this.guard(Guard.MergeThresholdConstant)) threshold = "constant";
    const committedPrefix = this.guard(Guard.CommittedPrefix);
    const followLastMode = this.guard(Guard.MergeMode);
    return {
      n: this.n,
      followLastMode,
      highestViews: this.guard(Guard.MergeHighestViews),
      committedPrefix,
      threshold,
      order: threshold === "majorityOfHighest" && committedPrefix && followLastMode ? "position" : "identity",
    };
  }

  send(to: number, type: MessageType, body: Uint8Array): void {
    this.data.send(to, type, body);
  }

  broadcast(type: MessageType, body: Uint8Array): void {
    this.data.send(-1, type, body);
  }
}

export function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}
