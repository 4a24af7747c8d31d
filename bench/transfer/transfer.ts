import { nowMs } from "../clock.js";
import { sleep, startLoadedCluster, stopLoadedCluster } from "../cluster.js";
import { converge } from "../convergence.js";
import type { LoadResult } from "../load/calls.js";
import { bucketMs } from "../load/calls.js";
import { timeline } from "../load/load.js";
import { ballastVariable } from "../machines/ballast.js";
import { plot } from "../plot.js";
import { Progress } from "../progress.js";
import { rejoined } from "../rejoin.js";
import { median, round } from "../statistics.js";

export interface TransferOptions {
  json: boolean;
  rounds: number;
  /** Size of the machine's state. */
  mebibytes: number;
  /** Operations kept outstanding. */
  window: number;
}

interface Transfer {
  stoppedAtMs: number;
  /** The blank replica's process is up. */
  fromMs: number;
  /** It is NORMAL again and has caught up. */
  toMs: number;
}

/** Before the replica comes back the others run alone for so long: that is what the transfer is compared with. */
const aloneMs = 3_000;
const settleMs = 500;
/** Behind a transfer all replicas run for so long: what the group does with one more on the same cores, whether it fetches anything or not. */
const wholeMs = 2_000;
/** A log that holds what is committed during a transfer at this rate (docs/limits.md); it takes memory only as far as it is needed. */
const limits = { logEntries: 4 << 20, logBytes: 2 * 2 ** 30 };
const rejoinLimitMs = 120_000;
const convergeLimitMs = 20_000;
const deadlineMs = 10_000;
const plotStepMs = 100;

/**
 * Throughput of a group while a replica without memory fetches a large state from it, against that of the same group just before.
 * LEADER mode throughout, so that nothing else changes; both cores are shared with the replica that comes back.
 */
export async function benchTransfer(options: TransferOptions): Promise<number> {
  process.env[ballastVariable] = String(options.mebibytes);
  const machine = new URL("../machines/ballast.js", import.meta.url);
  const running = await startLoadedCluster({ design: "multicast", mode: "leader", limits }, machine);
  const { cluster, load, replicas } = running;
  const id = replicas.count - 1;
  const progress = new Progress(options.rounds, "transfer");
  await load.begin({ window: options.window, deadlineMs });
  const transfers: Transfer[] = [];
  await sleep(aloneMs);
  for (let i = 0; i < options.rounds; i++) {
    const stoppedAtMs = nowMs();
    await replicas.kill(id);
    await sleep(settleMs + aloneMs);
    await replicas.start(id);
    const fromMs = nowMs();
    if ((await rejoined(cluster, id, rejoinLimitMs)) === undefined) break;
    transfers.push({ stoppedAtMs, fromMs, toMs: nowMs() });
    progress.step(`${round(nowMs() - fromMs)} ms`);
    await sleep(settleMs + wholeMs);
  }
  const result = await load.finish();
  const end = await converge(cluster, convergeLimitMs);
  progress.stop();
  await stopLoadedCluster(running);

  const each = transfers.map(({ stoppedAtMs, fromMs, toMs }) => {
    const before = throughput(result, stoppedAtMs + settleMs, stoppedAtMs + settleMs + aloneMs);
    const during = throughput(result, fromMs, toMs);
    const whole = throughput(result, toMs + settleMs, toMs + settleMs + wholeMs);
    return { before, during, whole, ratio: during / before, ratioToWhole: during / whole, ms: toMs - fromMs };
  });
  const figures = {
    stateMiB: options.mebibytes,
    transfers: each.length,
    opsPerSecondBefore: round(median(each.map(({ before }) => before)), 0),
    opsPerSecondDuring: round(median(each.map(({ during }) => during)), 0),
    opsPerSecondWhole: round(median(each.map(({ whole }) => whole)), 0),
    ratio: round(median(each.map(({ ratio }) => ratio)), 2),
    ratioToWhole: round(median(each.map(({ ratioToWhole }) => ratioToWhole)), 2),
    transferMs: round(median(each.map(({ ms }) => ms)), 0),
    failed: result.failed,
    digestsAgree: end.converged,
  };
  const wrong = [...result.wrong];
  if (result.lost + result.duplicated > 0) wrong.push(`${result.lost} operations lost, ${result.duplicated} executed twice`);
  if (each.length < options.rounds) wrong.push(`replica ${id} did not rejoin within ${rejoinLimitMs / 1000} s`);
  if (!end.converged) wrong.push(`replicas differ: ${end.differences}`);

  console.log(`${each.length} transfers of a state of ${options.mebibytes} MiB under load, ${options.window} outstanding`);
  console.log(`  one transfer, median            ${figures.transferMs} ms`);
  console.log(
    `  operations per second           ${figures.opsPerSecondDuring} meanwhile, ${figures.opsPerSecondBefore} before: ${figures.ratio}`,
  );
  console.log(`  with all replicas, afterwards   ${figures.opsPerSecondWhole}: ${figures.ratioToWhole}`);
  const file = await plot("transfer", {
    title: "Operations per second while a replica fetches the state",
    width: 1_000,
    height: 300,
    layer: [
      {
        data: { values: timeline(result, plotStepMs) },
        mark: { type: "line", interpolate: "step-after", strokeWidth: 1 },
        encoding: {
          x: { field: "seconds", type: "quantitative" },
          y: { field: "opsPerSecond", type: "quantitative", title: "operations per second" },
        },
      },
      {
        data: {
          values: transfers.map(({ fromMs, toMs }) => ({
            from: (fromMs - result.beganAtMs) / 1000,
            to: (toMs - result.beganAtMs) / 1000,
          })),
        },
        mark: { type: "rect", opacity: 0.2 },
        encoding: { x: { field: "from", type: "quantitative" }, x2: { field: "to" } },
      },
    ],
  });
  if (file !== undefined) console.log(`  plot: ${file}`);
  for (const what of wrong) console.log(`WRONG: ${what}`);
  if (options.json) console.log(JSON.stringify({ ...figures, wrong: wrong.length }));
  return wrong.length === 0 ? 0 : 1;
}

/** Results per second between two times of this process's clock. */
function throughput(result: Pick<LoadResult, "buckets" | "beganAtMs">, fromMs: number, toMs: number): number {
  const first = Math.floor((fromMs - result.beganAtMs) / bucketMs);
  const last = Math.ceil((toMs - result.beganAtMs) / bucketMs);
  const operations = result.buckets.subarray(first, last).reduce((sum, count) => sum + count, 0);
  return (operations * 1000) / ((last - first) * bucketMs);
}
