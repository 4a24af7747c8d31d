/**
 * Which mode the next view gets (docs/protocols.md, Modes). Pure: what happened to views and what PREPARE-OKs reported come in, one
 * decision comes out. Every replica keeps one, since any may have to lead the next merge; what it needs to remember, all see alike.
 */
import type { ModeChoice } from "../config/protocols.js";
import { Mode } from "../data/binding.js";
import { type CostTuning, ReconciliationCost } from "./reconciliation-cost.js";

export interface ModeTuning extends CostTuning {
  /** A SPECULATIVE view is too costly once this share of the window is lost to reconciliations ... */
  lostFraction: number;
  /** ... of which there were at least so many: one crash or one pause is no divergence. */
  fewestReconciliations: number;
  /** The way back needs a predicted loss of at most this share of lostFraction, so that the two thresholds do not meet. */
  returnShare: number;
  firstBackoffUs: number;
  longestBackoffUs: number;
  /** A return to SPECULATIVE that lasted less long was a mistake: the next one waits twice as long. */
  shortRunUs: number;
}

/**
 * Both modes reach about the same throughput on a network that keeps its order, and LEADER answers in half as much time again: that is what
 * one operation in twenty costs on average that waits for a reconciliation. So LEADER begins to pay at a loss of a twentieth. At 15 ms for a
 * reconciliation that is three or four of them per second.
 */
export const defaultModeTuning: ModeTuning = {
  windowUs: 2_000_000,
  overheadUs: 3_000,
  settleUs: 50_000,
  lostFraction: 0.05,
  fewestReconciliations: 6,
  returnShare: 0.25,
  firstBackoffUs: 500_000,
  longestBackoffUs: 60_000_000,
  shortRunUs: 5_000_000,
};

/** Counters of one backup, cumulative: requests compared with the order of PREPAREs, and how many had arrived in another order. */
export interface OrderCounters {
  compared: number;
  inverted: number;
}

interface Sample {
  lastedUs: number;
  compared: number;
  inversions: number;
}

const fixedModes = { speculative: Mode.Speculative, leader: Mode.Leader, fast: Mode.Fast } as const;

/** So much of ordered traffic is enough to go back where nothing but missing replicas led to LEADER. */
const MissingWindowUs = 1_000_000;

export class ModePolicy {
  private readonly configured: ModeChoice;
  private readonly superquorum: number;
  private readonly tuning: ModeTuning;
  private mode: Mode | undefined;
  private readonly cost: ReconciliationCost;
  /** When the group last went back to SPECULATIVE; before that it never was in LEADER. */
  private returnedUs = Number.NEGATIVE_INFINITY;
  private backoffUs: number;
  private earliestReturnUs = 0;
  private diverged = false;
  /** Times with traffic in this view, oldest first: together no longer than the window. */
  private samples: Sample[] = [];
  private counters: OrderCounters[] = [];
  private sampledUs = 0;

  constructor(configured: ModeChoice, superquorum: number, tuning: Partial<ModeTuning> = {}) {
    this.configured = configured;
    this.superquorum = superquorum;
    this.tuning = { ...defaultModeTuning, ...tuning };
    this.backoffUs = this.tuning.firstBackoffUs;
    this.cost = new ReconciliationCost(this.tuning);
  }

  get adaptive(): boolean {
    return this.configured === "adaptive";
  }

  /** A view is left for a reconciliation; its log ends at `entries`. */
  left(nowUs: number, entries: number): void {
    if (this.mode === Mode.Speculative) this.cost.leave(nowUs, entries);
  }

  /** A view of this mode began here. */
  entered(nowUs: number, mode: Mode, entries: number): void {
    const from = this.mode;
    this.mode = mode;
    if (mode === Mode.Speculative) this.cost.enter(nowUs, entries);
    if (mode === from) return;
    if (mode === Mode.Leader) this.enteredLeader(nowUs, from !== undefined);
    else if (from === Mode.Leader) this.returnedUs = nowUs;
    if (mode !== Mode.Speculative) this.cost.forget();
    this.samples = [];
    this.counters = [];
    this.sampledUs = nowUs;
  }

  /** Called now and then in a view; its log ends at `entries`. */
  observe(nowUs: number, entries: number): void {
    if (this.mode === Mode.Speculative) this.cost.observe(nowUs, entries);
  }

  /**
   * The mode of the view that a merge starts. `last`: mode of the view that the merged logs come from; `participants`: replicas that take
   * part in this reconciliation, were not recovering and are not halted; `wanted`: this reconciliation was started to go back to SPECULATIVE.
   */
  choose(nowUs: number, last: Mode, participants: number, wanted: boolean): Mode {
    if (this.configured !== "adaptive") return fixedModes[this.configured];
    if (participants < this.superquorum) return Mode.Leader;
    if (last === Mode.Leader) return wanted ? Mode.Speculative : Mode.Leader;
    return this.tooCostly(nowUs) ? Mode.Leader : Mode.Speculative;
  }

  /** The leader of a LEADER view asks now and then, with every backup's counters, whether to go back. `well`: all replicas answer. */
  wantsSpeculative(nowUs: number, well: boolean, counters: readonly OrderCounters[]): boolean {
    if (!this.adaptive || this.mode !== Mode.Leader) return false;
    this.sample(nowUs, counters);
    if (!well || nowUs < this.earliestReturnUs) return false;
    // Without traffic nothing shows how the order is, but nothing ever spoke against it when replicas were missing.
    if (this.samples.length === 0) return !this.diverged;
    const lastedUs = this.samples.reduce((sum, sample) => sum + sample.lastedUs, 0);
    // Where replicas were missing nothing spoke against the order, and backups fall behind in LEADER views: no longer than needed.
    if (lastedUs < 0.9 * (this.diverged ? this.tuning.windowUs : Math.min(MissingWindowUs, this.tuning.windowUs))) return false;
    const inversions = this.samples.reduce((sum, sample) => sum + sample.inversions, 0);
    return (inversions * this.cost.meanCostUs) / lastedUs <= this.tuning.lostFraction * this.tuning.returnShare;
  }

  private enteredLeader(nowUs: number, known: boolean): void {
    const { firstBackoffUs, longestBackoffUs, shortRunUs } = this.tuning;
    this.diverged = known && this.tooCostly(nowUs);
    const runUs = nowUs - this.returnedUs;
    if (this.diverged && runUs < shortRunUs) this.backoffUs = Math.min(longestBackoffUs, this.backoffUs * 2);
    else if (runUs >= 10 * shortRunUs) this.backoffUs = firstBackoffUs;
    else if (runUs >= shortRunUs) this.backoffUs = Math.max(firstBackoffUs, this.backoffUs / 2);
    this.earliestReturnUs = nowUs + this.backoffUs;
  }

  private tooCostly(nowUs: number): boolean {
    const { windowUs, lostFraction, fewestReconciliations } = this.tuning;
    const { count, costUs } = this.cost.losses(nowUs);
    return count >= fewestReconciliations && costUs > lostFraction * windowUs;
  }

  private sample(nowUs: number, counters: readonly OrderCounters[]): void {
    if (this.counters.length === counters.length) {
      const since = counters.map((now, backup) => difference(now, this.counters[backup] as OrderCounters));
      const inverted = since.map((one) => one.inverted);
      // A request that was late at the leader is out of order at every backup, and counts once.
      const everywhere = Math.min(...inverted);
      const sample = {
        lastedUs: nowUs - this.sampledUs,
        compared: Math.max(...since.map((one) => one.compared)),
        inversions: inverted.reduce((sum, one) => sum + one, 0) - (inverted.length - 1) * everywhere,
      };
      if (sample.compared > 0) this.samples.push(sample);
    }
    this.sampledUs = nowUs;
    this.counters = counters.map((one) => ({ ...one }));
    let lastedUs = this.samples.reduce((sum, sample) => sum + sample.lastedUs, 0);
    while (lastedUs > this.tuning.windowUs) lastedUs -= (this.samples.shift() as Sample).lastedUs;
  }
}

/** A backup that started anew counts from zero. */
function difference(now: OrderCounters, before: OrderCounters): OrderCounters {
  if (now.compared < before.compared || now.inverted < before.inverted) return now;
  return { compared: now.compared - before.compared, inverted: now.inverted - before.inverted };
}
