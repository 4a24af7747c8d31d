import { Child } from "../children.js";
import { bucketMs, type LoadBegin, type LoadResult, type LoadSample, type LoadStart } from "./calls.js";

const finishLimitMs = 60_000;
const mostResults = 1 << 28;

/** A client process that keeps a counter under load until it is told to stop, and checks every result. */
export class Load {
  readonly #child: Child;

  private constructor(child: Child) {
    this.#child = child;
  }

  static async start(cluster: string): Promise<Load> {
    const child = new Child(new URL("./load-process.js", import.meta.url));
    await child.call("start", { cluster } satisfies LoadStart);
    return new Load(child);
  }

  async begin(options: Omit<LoadBegin, "capacity"> & { capacity?: number }): Promise<void> {
    await this.#child.call("begin", { capacity: mostResults, ...options } satisfies LoadBegin);
  }

  sample(): Promise<LoadSample> {
    return this.#child.call<LoadSample>("sample");
  }

  /** Resolves when every operation under way is answered. */
  finish(): Promise<LoadResult> {
    return this.#child.call<LoadResult>("finish", undefined, finishLimitMs);
  }

  kill(): void {
    this.#child.kill();
  }
}

/** The longest time without a result that touches the stretch from `fromMs` to `toMs`; 0 if there is none. */
export function longestGapMs(result: Pick<LoadResult, "gaps">, fromMs: number, toMs: number): number {
  let longest = 0;
  for (let i = 0; i < result.gaps.length; i += 2) {
    const start = result.gaps[i]!;
    const end = result.gaps[i + 1]!;
    if (end > fromMs && start < toMs) longest = Math.max(longest, end - start);
  }
  return longest;
}

export interface TimelinePoint {
  seconds: number;
  opsPerSecond: number;
}

/** Throughput over time in stretches of `stepMs`. */
export function timeline(result: Pick<LoadResult, "buckets">, stepMs: number): TimelinePoint[] {
  const each = Math.max(1, Math.round(stepMs / bucketMs));
  const points: TimelinePoint[] = [];
  for (let i = 0; i + each <= result.buckets.length; i += each) {
    const operations = result.buckets.subarray(i, i + each).reduce((sum, count) => sum + count, 0);
    points.push({ seconds: (i * bucketMs) / 1000, opsPerSecond: (operations * 1000) / (each * bucketMs) });
  }
  return points;
}
