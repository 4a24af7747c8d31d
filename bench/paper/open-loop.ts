import type { Client } from "squall";
import { Prng } from "../../dist/sim/prng.js";
import { nowMs } from "../clock.js";
import type { ResultChecker } from "../commit/results.js";
import type { OpenRun } from "./calls.js";
import { addOne, Outcome } from "./closed-loop.js";
import { newHistogram, recordMs } from "./latencies.js";
import type { Metronome } from "./metronome.js";

const drainLimitMs = 10_000;

export interface OpenOutcome extends Outcome {
  scheduled: number;
  notOffered: number;
  lateP50Us: number;
}

/**
 * Issues operations at the times of a Poisson process. A latency counts from the scheduled time, so that an operation that had to wait for
 * this process or for others before it shows that (no coordinated omission).
 */
export async function runOpen(client: Client, metronome: Metronome, run: OpenRun, checker: ResultChecker): Promise<OpenOutcome> {
  const outcome = Object.assign(new Outcome(), { scheduled: 0, notOffered: 0, lateP50Us: 0 });
  const late = newHistogram();
  const operation = addOne(run.bytes);
  const prng = new Prng(run.seed, "arrivals");
  const meanMs = 1000 / run.opsPerSecond;
  const startMs = nowMs();
  const endMs = startMs + run.seconds * 1000;
  let dueMs = startMs;
  let outstanding = 0;
  let drained: (() => void) | undefined;

  const schedule = () => {
    dueMs += -Math.log(1 - prng.unit()) * meanMs;
    if (dueMs > endMs) dueMs = Number.POSITIVE_INFINITY;
  };
  const issue = async (scheduledMs: number): Promise<void> => {
    outstanding++;
    const highest = checker.highest;
    try {
      const result = await client.invoke(operation);
      checker.check(result.readDoubleLE(0), highest);
      outcome.replied(nowMs() - scheduledMs, performance.now());
    } catch (error) {
      outcome.fail(error);
    }
    outstanding--;
    issueDue();
  };
  const issueDue = (): number => {
    const now = nowMs();
    while (dueMs <= now) {
      outcome.scheduled++;
      if (outstanding < run.mostOutstanding && !checker.full) {
        recordMs(late, now - dueMs);
        void issue(dueMs);
      } else {
        outcome.notOffered++;
      }
      schedule();
    }
    metronome.next(dueMs);
    if (outstanding === 0 && dueMs === Number.POSITIVE_INFINITY) drained?.();
    return dueMs;
  };

  schedule();
  metronome.use(dueMs, issueDue);
  await new Promise<void>((resolve) => {
    const limit = setTimeout(resolve, run.seconds * 1000 + drainLimitMs);
    drained = () => {
      clearTimeout(limit);
      resolve();
    };
  });
  if (outstanding > 0) outcome.fail(`${outstanding} operations had no answer ${drainLimitMs / 1000} s after the run's end`);
  outcome.lateP50Us = late.getValueAtPercentile(50) / 1000;
  return outcome;
}
