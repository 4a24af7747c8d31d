import { nowMs } from "../clock.js";
import { type LoadedCluster, sleep, startLoadedCluster, stopLoadedCluster } from "../cluster.js";
import { converge } from "../convergence.js";
import { longestGapMs, timeline } from "../load/load.js";
import { plot } from "../plot.js";
import { Progress } from "../progress.js";
import { rejoined } from "../rejoin.js";
import { round } from "../statistics.js";

export interface RollingOptions {
  json: boolean;
  rounds: number;
  /** Operations kept outstanding. */
  window: number;
}

interface Restart {
  id: number;
  atMs: number;
  /** From the signal to stop until the replica is NORMAL again and has caught up. */
  tookMs: number | undefined;
}

const steadyMs = 500;
/** An operation that takes longer has failed. */
const deadlineMs = 5_000;
const rejoinLimitMs = 30_000;
const convergeLimitMs = 10_000;
const plotStepMs = 20;

/** Restarts all replicas, one at a time, under load: no operation may fail. */
export async function benchRolling(options: RollingOptions): Promise<number> {
  const running = await startLoadedCluster({ design: "multicast" });
  const { cluster, load, replicas } = running;
  const progress = new Progress(options.rounds * replicas.count, "rolling");
  await load.begin({ window: options.window, deadlineMs });
  const restarts: Restart[] = [];
  for (let i = 0; i < options.rounds * replicas.count; i++) {
    const restart = await restartOne(running, i % replicas.count);
    restarts.push(restart);
    progress.step(`replica ${restart.id}`);
    if (restart.tookMs === undefined) break; // one more would leave too few
  }
  await sleep(steadyMs);
  const result = await load.finish();
  const end = await converge(cluster, convergeLimitMs);
  progress.stop();
  await stopLoadedCluster(running);

  const complete = restarts.every((restart) => restart.tookMs !== undefined);
  const figures = {
    restarts: restarts.length,
    operations: result.operations,
    failed: result.failed,
    lost: result.lost,
    duplicated: result.duplicated,
    longestGapMs: round(longestGapMs(result, result.beganAtMs, result.endedAtMs)),
    medianCommitMs: round(result.medianMs, 3),
    restartMs: complete ? restarts.map((restart) => round(restart.tookMs!)) : null,
    digestsAgree: end.converged,
  };
  const wrong = [...result.wrong];
  if (result.failed > 0) wrong.push(`${result.failed} operations failed: ${JSON.stringify(result.failures)}`);
  if (result.lost + result.duplicated > 0) wrong.push(`${result.lost} operations lost, ${result.duplicated} executed twice`);
  if (!complete) wrong.push(`replica ${restarts.at(-1)?.id} did not rejoin within ${rejoinLimitMs / 1000} s`);
  if (!end.converged) wrong.push(`replicas differ: ${end.differences}`);

  console.log(`${restarts.length} restarts, one at a time, under load, ${options.window} outstanding`);
  console.log(`  operations                      ${result.operations}, ${result.failed} failed`);
  console.log(`  longest time without a result   ${figures.longestGapMs} ms; median of an operation ${figures.medianCommitMs} ms`);
  const file = await plot("rolling", {
    title: "Operations per second while all replicas are restarted in turn",
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
          values: restarts.map(({ id, atMs }) => ({ seconds: (atMs - result.beganAtMs) / 1000, replica: `replica ${id} restarted` })),
        },
        mark: { type: "rule", strokeDash: [3, 3] },
        encoding: { x: { field: "seconds", type: "quantitative" }, color: { field: "replica", type: "nominal", title: null } },
      },
    ],
  });
  if (file !== undefined) console.log(`  plot: ${file}`);
  for (const what of wrong) console.log(`WRONG: ${what}`);
  if (options.json) console.log(JSON.stringify({ ...figures, wrong: wrong.length }));
  return wrong.length === 0 ? 0 : 1;
}

async function restartOne({ cluster, replicas }: LoadedCluster, id: number): Promise<Restart> {
  await sleep(steadyMs);
  const atMs = nowMs();
  await replicas.stop(id);
  await replicas.start(id);
  const rejoinMs = await rejoined(cluster, id, rejoinLimitMs);
  return { id, atMs, tookMs: rejoinMs === undefined ? undefined : nowMs() - atMs };
}
