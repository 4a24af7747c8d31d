/** How much the group commits, told by what other replicas say is committed. */

const MeasureUs = 20_000;
/** What was heard is true for so long. */
const FreshUs = 1_000_000;
/** A group that does less has time to spare. */
const BusyPerSecond = 500;

export class GroupLoad {
  private perSecond = 0;
  private sinceUs = Number.NEGATIVE_INFINITY;
  private reached = 0;
  /** The highest seqno that is known to be committed. */
  committed = 0;

  heard(nowUs: number, committed: number): void {
    this.committed = Math.max(this.committed, committed);
    const elapsedUs = nowUs - this.sinceUs;
    if (elapsedUs < MeasureUs) return;
    this.perSecond = elapsedUs > FreshUs ? 0 : ((this.committed - this.reached) * 1e6) / elapsedUs;
    this.sinceUs = nowUs;
    this.reached = this.committed;
  }

  busy(nowUs: number): boolean {
    return this.perSecond >= BusyPerSecond && nowUs - this.sinceUs < FreshUs;
  }
}
