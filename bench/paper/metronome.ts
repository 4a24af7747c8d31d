/**
 * The thread that wakes the client process when the next operation of an open loop is due: timers of the event loop have milliseconds,
 * a thread that waits on a word of memory has some tens of microseconds.
 */
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";
import { nowMs } from "../clock.js";

/** Between two looks at the schedule: at high rates completions wake the process often enough. */
const shortestMs = 0.2;
const answerLimitMs = 5;

interface Shared {
  /** Time by clock.ts at which the next operation is due; NaN: the end. */
  dueMs: Float64Array;
  /** Ticks that were answered. */
  answered: Int32Array;
}

export class Metronome {
  readonly #shared: Shared = {
    dueMs: new Float64Array(new SharedArrayBuffer(8)),
    answered: new Int32Array(new SharedArrayBuffer(4)),
  };
  readonly #worker: Worker;

  /** `onDue` issues what is due and returns the time of the next operation. */
  constructor(firstMs: number, onDue: () => number) {
    this.#shared.dueMs[0] = firstMs;
    this.#worker = new Worker(new URL(import.meta.url), { workerData: this.#shared });
    this.#worker.on("message", () => {
      this.next(onDue());
      Atomics.add(this.#shared.answered, 0, 1);
      Atomics.notify(this.#shared.answered, 0);
    });
  }

  next(dueMs: number): void {
    this.#shared.dueMs[0] = dueMs;
  }

  async stop(): Promise<void> {
    await this.#worker.terminate();
  }
}

function beat({ dueMs, answered }: Shared): void {
  const sleep = new Int32Array(new SharedArrayBuffer(4));
  for (;;) {
    const waitMs = dueMs[0]! - nowMs();
    if (waitMs > 0) {
      Atomics.wait(sleep, 0, 0, Math.max(shortestMs, waitMs));
      continue;
    }
    const before = Atomics.load(answered, 0);
    parentPort!.postMessage(undefined);
    Atomics.wait(answered, 0, before, answerLimitMs);
    Atomics.wait(sleep, 0, 0, shortestMs);
  }
}

if (!isMainThread && workerData?.dueMs instanceof Float64Array) beat(workerData as Shared);
