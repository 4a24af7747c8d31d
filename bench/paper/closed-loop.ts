import type { Client } from "squall";
import type { ResultChecker } from "../commit/results.js";
import type { ClosedRun } from "./calls.js";
import { newHistogram, recordMs } from "./latencies.js";

const failuresKept = 5;

/** What a run has seen: latencies, and operations without an answer. */
export class Outcome {
  readonly latencies = newHistogram();
  /** By performance.now(). */
  lastReplyMs = 0;
  failed = 0;
  readonly failures: string[] = [];

  replied(latencyMs: number, nowMs: number): void {
    recordMs(this.latencies, latencyMs);
    this.lastReplyMs = nowMs;
  }

  fail(error: unknown): void {
    this.failed++;
    if (this.failures.length < failuresKept) this.failures.push(String(error));
  }
}

/** An operation that adds one, of `bytes` bytes. */
export function addOne(bytes: number): Buffer {
  const operation = Buffer.alloc(bytes);
  operation.writeDoubleLE(1);
  return operation;
}

/** Runs until `run.seconds` are over and every operation is answered. */
export async function runClosed(clients: readonly Client[], run: ClosedRun, checker: ResultChecker): Promise<Outcome> {
  const outcome = new Outcome();
  const operation = addOne(run.bytes);
  const endMs = performance.now() + run.seconds * 1000;
  let over = false;

  // One time stamp is the end of an operation and the start of the next.
  const lane = async (client: Client): Promise<void> => {
    let fromMs = performance.now();
    while (!over) {
      const highest = checker.highest;
      let nowMs: number;
      try {
        const result = await client.invoke(operation);
        checker.check(result.readDoubleLE(0), highest);
        nowMs = performance.now();
        outcome.replied(nowMs - fromMs, nowMs);
      } catch (error) {
        outcome.fail(error);
        nowMs = performance.now();
      }
      fromMs = nowMs;
      if (nowMs >= endMs || checker.full) over = true;
    }
  };
  await Promise.all(clients.flatMap((client) => Array.from({ length: run.window }, () => lane(client))));
  return outcome;
}
