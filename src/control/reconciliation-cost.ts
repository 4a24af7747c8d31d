/**
 * What each reconciliation that ended a SPECULATIVE view cost: the time in which the log stood still, and what its growth fell behind
 * afterwards (operations executed twice, clients that send again, caches gone cold), in time of undisturbed growth. A group that catches
 * up with what waited meanwhile has lost nothing but the time itself.
 */
export interface CostTuning {
  /** What happened within this time counts. */
  windowUs: number;
  /** The least that a reconciliation costs beyond the time in which the log stands still. */
  overheadUs: number;
  /** Growth is compared with undisturbed growth for so long after a view began. */
  settleUs: number;
}

export interface Losses {
  count: number;
  costUs: number;
}

interface Reconciled {
  atUs: number;
  costUs: number;
}

/** Growth since a time. */
interface Stretch {
  sinceUs: number;
  entries: number;
}

// Until one was measured.
const AssumedReconciliationUs = 10_000;
const MaxRemembered = 256;
// Undisturbed growth is measured in stretches of this length; shorter ones before a reconciliation count less.
const StretchUs = 100_000;
const ShortestStretchUs = 20_000;
// Of less nothing can be said.
const FewestEntries = 32;

export class ReconciliationCost {
  private readonly tuning: CostTuning;
  /** Oldest first. */
  private past: Reconciled[] = [];
  private meanUs: number;
  /** Entries per microsecond while nothing disturbs. */
  private rate = 0;
  private calm: Stretch | undefined;
  private left: Stretch | undefined;
  /** The last one, while what follows it is compared; `calm` begins then. */
  private settling: (Stretch & { untilUs: number; frozenUs: number; reconciled: Reconciled }) | undefined;

  constructor(tuning: CostTuning) {
    this.tuning = tuning;
    this.meanUs = AssumedReconciliationUs + tuning.overheadUs;
  }

  get meanCostUs(): number {
    return this.meanUs;
  }

  /** A SPECULATIVE view is left; the log ends at `entries`. */
  leave(nowUs: number, entries: number): void {
    if (this.left) return;
    if (this.settling) this.settle(nowUs, entries);
    else if (this.calm) this.measure(nowUs, entries, ShortestStretchUs);
    this.calm = undefined;
    this.left = { sinceUs: nowUs, entries };
  }

  /** The next view began, a SPECULATIVE one again. */
  enter(nowUs: number, entries: number): void {
    const left = this.left;
    this.left = undefined;
    if (!left) {
      this.calm = { sinceUs: nowUs, entries };
      return;
    }
    const frozenUs = nowUs - left.sinceUs;
    const reconciled = { atUs: nowUs, costUs: frozenUs + this.tuning.overheadUs };
    this.past.push(reconciled);
    if (this.past.length > MaxRemembered) this.past.shift();
    this.settling = { ...left, untilUs: nowUs + this.tuning.settleUs, frozenUs, reconciled };
  }

  /** Called now and then in a SPECULATIVE view. */
  observe(nowUs: number, entries: number): void {
    if (this.settling) {
      if (nowUs < this.settling.untilUs) return;
      this.settle(nowUs, entries);
      this.calm = { sinceUs: nowUs, entries };
    } else if (this.calm && nowUs - this.calm.sinceUs >= StretchUs) {
      this.measure(nowUs, entries, StretchUs);
      this.calm = { sinceUs: nowUs, entries };
    }
  }

  /** The group went to another mode: what lies behind counts no more. */
  forget(): void {
    this.past = [];
    this.calm = undefined;
    this.left = undefined;
    this.settling = undefined;
  }

  /** Of the last window, with the one that is under way. */
  losses(nowUs: number): Losses {
    const { windowUs, overheadUs } = this.tuning;
    const counted = this.past.filter(({ atUs }) => atUs >= nowUs - windowUs);
    const costUs = counted.reduce((sum, one) => sum + one.costUs, 0);
    if (!this.left) return { count: counted.length, costUs };
    const underWayUs = nowUs - this.left.sinceUs;
    return { count: counted.length + 1, costUs: costUs + Math.max(this.meanUs, underWayUs + overheadUs) };
  }

  private measure(nowUs: number, entries: number, leastUs: number): void {
    const calm = this.calm as Stretch;
    const lastedUs = nowUs - calm.sinceUs;
    if (lastedUs < leastUs) return;
    const rate = Math.max(0, entries - calm.entries) / lastedUs;
    this.rate += (rate - this.rate) * (this.rate === 0 ? 1 : Math.min(0.5, lastedUs / (4 * StretchUs)));
  }

  /** Compares the growth since the last view was left with what it would have been. */
  private settle(nowUs: number, entries: number): void {
    const { sinceUs, entries: before, untilUs, frozenUs, reconciled } = this.settling as NonNullable<typeof this.settling>;
    this.settling = undefined;
    const { overheadUs, settleUs } = this.tuning;
    const expected = this.rate * (nowUs - sinceUs);
    if (expected >= FewestEntries && nowUs - (untilUs - settleUs) <= 2 * settleUs) {
      const lostUs = (expected - (entries - before)) / this.rate;
      reconciled.costUs = Math.min(Math.max(lostUs, frozenUs + overheadUs), frozenUs + settleUs);
    }
    this.meanUs += (reconciled.costUs - this.meanUs) / 8;
  }
}
