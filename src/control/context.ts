/** What every part of the control plane shares: who we are, the group's size and timing, the data plane, and the guards. */
import type { ClusterTiming } from "../config-types.js";
import { Guard, type MessageType } from "../data/binding.js";
import type { DataPlane } from "./data-plane.js";
import type { MergeRules } from "./merge.js";
import { RowBytes } from "./messages.js";
import { superquorum, tolerated } from "./quorums.js";

export interface ControlPlaneConfig {
  replica: number;
  n: number;
  timing: ClusterTiming;
  /** Bit mask of Guard; test builds only. */
  guardsOff?: number;
  /** This replica's incarnation; 1 at bootstrap. */
  incarnation?: number;
  /** How long a leader that could merge waits for members that take part but are not complete yet. Default 1,500 us. */
  graceUs?: number;
  /** Rows or records in one message stop at this many bytes (a single larger record still travels). Default 64 KiB. */
  messageBytes?: number;
}

/** A suffix longer than this is no honest replica's: log limits lie below. */
export const MaxSuffixEntries = 1 << 24;

const LongestTimeoutUs = 1_000_000;
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
  readonly syncTimeoutUs: number;
  readonly resendUs: number;
  readonly graceUs: number;
  readonly messageBytes: number;
  readonly maxRows: number;
  readonly incarnation: number;
  /** The crash vector: per replica, the highest incarnation known here. */
  vector: number[];
  readonly #reconciliationTimeoutUs: number;
  readonly #guardsOff: number;

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
    this.syncTimeoutUs = config.timing.syncTimeoutMs * 1000;
    this.resendUs = config.timing.resendMs * 1000;
    this.graceUs = config.graceUs ?? 1500;
    this.messageBytes = config.messageBytes ?? DefaultMessageBytes;
    this.maxRows = Math.max(1, Math.floor((this.messageBytes - HeadBytes) / RowBytes));
    this.incarnation = config.incarnation ?? 1;
    this.vector = new Array(config.n).fill(1);
    this.vector[config.replica] = this.incarnation;
    this.#reconciliationTimeoutUs = config.timing.reconciliationTimeoutMs * 1000;
    this.#guardsOff = config.guardsOff ?? 0;
  }

  /** Whether the guard is in force. */
  guard(bit: number): boolean {
    return (this.#guardsOff & bit) === 0;
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

  /** Doubles with each view in a row that came to nothing. */
  reconciliationTimeoutUs(failedViews: number): number {
    return Math.min(LongestTimeoutUs, this.#reconciliationTimeoutUs * 2 ** Math.min(failedViews, 20));
  }

  mergeRules(): MergeRules {
    let threshold: MergeRules["threshold"] = "majorityOfHighest";
    if (!this.guard(Guard.MergeThreshold)) threshold = "majorityOfAll";
    else if (!this.guard(Guard.MergeThresholdConstant)) threshold = "constant";
    const committedPrefix = this.guard(Guard.CommittedPrefix);
    return {
      n: this.n,
      highestViews: this.guard(Guard.MergeHighestViews),
      committedPrefix,
      threshold,
      order: threshold === "majorityOfHighest" && committedPrefix ? "position" : "identity",
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
