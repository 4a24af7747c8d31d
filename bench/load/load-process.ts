import { build } from "hdr-histogram-js";
import { type Client, connect, type InvokeOptions, SquallError } from "squall";
import { answerCalls } from "../children.js";
import { nowMs } from "../clock.js";
import { ResultChecker } from "../commit/results.js";
import { operationBytes } from "../machines/counter.js";
import { bucketMs, type LoadBegin, type LoadResult, type LoadSample, type LoadStart, shortestGapMs } from "./calls.js";

const maxBuckets = 1 << 20;
const maxGaps = 1 << 18;
/** Before the next try after a failure: a load that fails at once must not spin. */
const pauseAfterFailureMs = 10;
const longestUs = 600_000_000;

const addOne = Buffer.alloc(operationBytes);
addOne.writeDoubleLE(1);
const addNothing = Buffer.alloc(operationBytes);

let client: Client;
let load: Load | undefined;

/** Lanes that each keep one operation outstanding until they are told to stop. */
class Load {
  readonly #checker: ResultChecker;
  readonly #base: number;
  readonly #options: InvokeOptions | undefined;
  readonly #latenciesUs = build({ highestTrackableValue: longestUs, numberOfSignificantValueDigits: 3 });
  readonly #buckets = new Uint32Array(maxBuckets);
  readonly #gaps: number[] = [];
  readonly #failures: Record<string, number> = {};
  readonly #beganAtMs = nowMs();
  #lastMs = this.#beganAtMs;
  #issued = 0;
  #failed = 0;
  #running = true;
  #lanes: Promise<void>[] = [];

  constructor(base: number, begin: LoadBegin) {
    this.#base = base;
    this.#checker = new ResultChecker(begin.capacity);
    this.#checker.start(base);
    this.#options = begin.deadlineMs === undefined ? undefined : { deadlineMs: begin.deadlineMs };
    this.#lanes = Array.from({ length: begin.window }, () => this.#lane());
  }

  sample(): LoadSample {
    return { operations: this.#checker.count, failed: this.#failed, stopped: !this.#running };
  }

  async finish(): Promise<LoadResult> {
    this.#running = false;
    await Promise.all(this.#lanes);
    const endedAtMs = nowMs();
    const operations = this.#checker.count;
    const value = await this.#lastValue();
    const used = Math.min(maxBuckets, Math.ceil((this.#lastMs - this.#beganAtMs) / bucketMs));
    return {
      operations,
      failed: this.#failed,
      failures: this.#failures,
      lost: Math.max(0, operations - (value ?? operations)),
      duplicated: Math.max(0, (value ?? 0) - this.#issued),
      wrong: this.#checker.wrong,
      medianMs: this.#latenciesUs.getValueAtPercentile(50) / 1000,
      p99Ms: this.#latenciesUs.getValueAtPercentile(99) / 1000,
      beganAtMs: this.#beganAtMs,
      endedAtMs,
      gaps: Float64Array.from(this.#gaps),
      buckets: this.#buckets.slice(0, used),
    };
  }

  async #lastValue(): Promise<number | undefined> {
    try {
      return (await client.invoke(addNothing)).readDoubleLE(0) - this.#base;
    } catch (error) {
      this.#checker.wrong.push(`the counter can't be read: ${error instanceof Error ? error.message : error}`);
      return undefined;
    }
  }

  async #lane(): Promise<void> {
    while (this.#running) {
      const highest = this.#checker.highest;
      const issuedMs = nowMs();
      this.#issued++;
      try {
        const result = await client.invoke(addOne, this.#options);
        this.#completed(issuedMs);
        this.#checker.check(result.readDoubleLE(0), highest);
        if (this.#checker.full) this.#running = false;
      } catch (error) {
        this.#failed++;
        const code = error instanceof SquallError ? error.code : String(error);
        this.#failures[code] = (this.#failures[code] ?? 0) + 1;
        if (client.closed) this.#running = false;
        await new Promise((resolve) => setTimeout(resolve, pauseAfterFailureMs));
      }
    }
  }

  #completed(issuedMs: number): void {
    const now = nowMs();
    if (now - this.#lastMs > shortestGapMs && this.#gaps.length < 2 * maxGaps) this.#gaps.push(this.#lastMs, now);
    this.#lastMs = now;
    const bucket = Math.floor((now - this.#beganAtMs) / bucketMs);
    if (bucket < maxBuckets) this.#buckets[bucket]!++;
    this.#latenciesUs.recordValue(Math.min(longestUs, Math.max(1, Math.round((now - issuedMs) * 1000))));
  }
}

answerCalls({
  async start(options: LoadStart) {
    client = await connect({ cluster: options.cluster });
  },
  async begin(begin: LoadBegin) {
    load = new Load((await client.invoke(addNothing)).readDoubleLE(0), begin);
  },
  sample: () => load!.sample(),
  finish: () => load!.finish(),
});
