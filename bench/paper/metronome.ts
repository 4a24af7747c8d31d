/**
 * The thread that wakes the client process when the next operation of an open loop is due: timers of the event loop have milliseconds,
 * a thread that waits on a word of memory has some tens of microseconds.
 */
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";
import { nowMs } from "../clock.js";

/** While nothing is due, it looks at the schedule so often. */
const idleMs = 5;
/** Between two looks at the schedule: at high rates completions wake the process often enough. */
const shortestMs = 0.2;
const answerLimitMs = 5;

interface Shared {
  /** Time by clock.ts at which the next operation is due; infinity: none. */
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
  #onDue: () => number = () => Number.POSITIVE_INFINITY;

  private constructor() {
    this.#shared.dueMs[0] = Number.POSITIVE_INFINITY;
    this.#worker = new Worker(new URL(import.meta.url), { workerData: this.#shared });
    this.#worker.on("message", () => {
      this.next(this.#onDue());
      Atomics.add(this.#shared.answered, 0, 1);
      Atomics.notify(this.#shared.answered, 0);
    });
  }

  /** Resolves when its thread runs. It wakes nobody until it is used. */
  static async start(): Promise<Metronome> {
    const metronome = new Metronome();
    await new Promise((resolve, reject) => metronome.#worker.once("message", resolve).once("error", reject));
    return metronome;
  }

  /** `onDue` issues what is due and returns the time of the next operation, by clock.ts; infinity: the end. */
  use(firstMs: number, onDue: () => number): void {
    this.#onDue = onDue;
    this.next(firstMs);
  }

  next(dueMs: number): void {
    this.#shared.dueMs[0] = dueMs;
  }
}

function beat({ dueMs, answered }: Shared): void {
  const sleep = new Int32Array(new SharedArrayBuffer(4));
  parentPort!.postMessage(undefined);
  for (;;) {
    const waitMs = dueMs[0]! - nowMs();
    if (waitMs > 0) {
      Atomics.wait(sleep, 0, 0, Math.min(idleMs, Math.max(shortestMs, waitMs)));
      continue;
    }
    const before = Atomics.load(answered, 0);
    parentPort!.postMessage(undefined);
    Atomics.wait(answered, 0, before, answerLimitMs);
    Atomics.wait(sleep, 0, 0, shortestMs);
  }
}

if (!isMainThread && workerData?.dueMs instanceof Float64Array) beat(workerData as Shared);
