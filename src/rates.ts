/** What a replica does per second: differences of two of its reports. */
import type { ReplicaReport } from "./status.js";

/** Each is a number per second. */
export interface ReplicaRates {
  /** Log entries committed. */
  committed: number;
  appended: number;
  rolledBack: number;
  reads: number;
  reconciliations: number;
  modeSwitches: number;
  framesReceived: number;
  framesSent: number;
  /** By reason; those that did not happen are left out. */
  dropped: Record<string, number>;
}

/** undefined when the reports are not two of one process, the earlier one first. */
export function ratesBetween(before: ReplicaReport, after: ReplicaReport): ReplicaRates | undefined {
  const seconds = (after.uptimeMs - before.uptimeMs) / 1000;
  if (before.bootId !== after.bootId || !(seconds > 0)) return undefined;
  const perSecond = (from: number, to: number): number => Math.max(0, to - from) / seconds;
  const [a, b] = [before.counters, after.counters];
  const dropped: Record<string, number> = {};
  for (const [reason, count] of Object.entries(b.dropped)) {
    const rate = perSecond(a.dropped[reason] ?? 0, count);
    if (rate > 0) dropped[reason] = rate;
  }
  return {
    committed: perSecond(before.committed, after.committed),
    appended: perSecond(a.appended, b.appended),
    rolledBack: perSecond(a.rolledBack, b.rolledBack),
    reads: perSecond(a.reads, b.reads),
    reconciliations: perSecond(a.reconciliations, b.reconciliations),
    modeSwitches: perSecond(a.modeSwitches, b.modeSwitches),
    framesReceived: perSecond(a.framesReceived, b.framesReceived),
    framesSent: perSecond(a.framesSent, b.framesSent),
    dropped,
  };
}
