import { bootstrap, type Client, connect } from "squall";
import { answerCalls } from "../children.js";
import { runAllocation } from "../garbage/lanes.js";
import { collect } from "../heap.js";
import { operationBytes } from "../machines/counter.js";
import { percentile } from "../statistics.js";
import type { AllocationRun, ClientResult, ClientRun, ClientStart } from "./calls.js";
import { ResultChecker } from "./results.js";
import { settle } from "./settle.js";

const maxOperations = 8 << 20;

const addOne = Buffer.alloc(operationBytes);
addOne.writeDoubleLE(1);
const addNothing = Buffer.alloc(operationBytes);

const samplesUs = new Float64Array(maxOperations);
const checker = new ResultChecker(maxOperations);
/** With many lanes, one in so many looks at the clock; every lane checks every result. */
const lanesPerClock = 8;
let cluster: string;
let client: Client;
let lastReplyMs = 0;

/** One run: each lane keeps one operation outstanding, and stops at its first completion behind the end. */
class Run {
  failed = 0;
  over = false;
  samples = 0;
  readonly failures: string[] = [];
  readonly endMs: number;

  constructor(endMs: number) {
    this.endMs = endMs;
  }

  /** One time stamp serves as the end of an operation and the start of the lane's next one. */
  time(fromMs: number): number {
    const nowMs = performance.now();
    samplesUs[this.samples++] = (nowMs - fromMs) * 1000;
    if (nowMs >= this.endMs || checker.full) this.over = true;
    return nowMs;
  }

  fail(error: unknown): void {
    this.failed++;
    if (this.failures.length < 5) this.failures.push(String(error));
    if (performance.now() >= this.endMs) this.over = true;
  }
}

async function lane(run: Run, timed: boolean): Promise<void> {
  let fromMs = performance.now();
  while (!run.over) {
    const highest = checker.highest;
    try {
      const result = await client.invoke(addOne);
      checker.check(result.readDoubleLE(0), highest);
      if (timed) fromMs = run.time(fromMs);
    } catch (error) {
      run.fail(error);
      fromMs = performance.now();
    }
  }
}

async function measure(request: ClientRun): Promise<ClientResult> {
  checker.start(request.base);
  await new Promise((resolve) => setTimeout(resolve, Math.max(0, request.startAtMs - Date.now())));
  const mismatchesBefore = client.metrics().mismatches;
  const startMs = performance.now();
  const run = new Run(startMs + request.seconds * 1000);
  await Promise.all(Array.from({ length: request.window }, (_, index) => lane(run, index % lanesPerClock === 0)));
  lastReplyMs = performance.now();

  const operations = checker.count;
  const samples = samplesUs.slice(0, run.samples).sort();
  return {
    operations,
    opsPerSecond: (operations * 1000) / (lastReplyMs - startMs),
    p50Us: percentile(samples, 0.5),
    p99Us: percentile(samples, 0.99),
    p999Us: percentile(samples, 0.999),
    seen: checker.bits(),
    failed: run.failed,
    failures: run.failures,
    wrong: [...checker.wrong],
    mismatches: client.metrics().mismatches - mismatchesBefore,
  };
}

answerCalls({
  async bootstrap(options: ClientStart) {
    await bootstrap({ cluster: options.cluster });
  },
  async start(options: ClientStart) {
    cluster = options.cluster;
    client = await connect({ cluster, wait: options.wait ?? "block" });
  },
  /** The counter's value. */
  async read() {
    return (await client.invoke(addNothing)).readDoubleLE(0);
  },
  run: measure,
  settle: () => settle(cluster, lastReplyMs),
  allocate: (run: AllocationRun) => runAllocation(client, run),
  collect,
});
