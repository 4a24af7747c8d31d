import { PerformanceObserver } from "node:perf_hooks";
import { getHeapStatistics } from "node:v8";
import type { Heap } from "./commit/calls.js";

let collections = 0;
new PerformanceObserver((list) => {
  collections += list.getEntries().length;
}).observe({ entryTypes: ["gc"] });

/** The JavaScript heap of this process. Between two calls without a collection the growth is what was allocated. */
export function heap(): Heap {
  return { usedBytes: getHeapStatistics().used_heap_size, collections };
}

/** Empties the young generation; needs --expose-gc. */
export function collect(): void {
  globalThis.gc?.();
}
