import { nowMs } from "../clock.js";
import { type LoadedCluster, sleep, startLoadedCluster, stopLoadedCluster } from "../cluster.js";
import { converge } from "../convergence.js";
import type { LoadResult } from "../load/calls.js";
import { longestGapMs, timeline } from "../load/load.js";
import { plot } from "../plot.js";
import { Progress } from "../progress.js";
import { leaderOf, rejoined } from "../rejoin.js";
import { median, round } from "../statistics.js";

export interface FailoverOptions {
  json: boolean;
  kills: number;
  /** Operations kept outstanding. */
  window: number;
}

interface Kill {
  id: number;
  leader: boolean;
  atMs: number;
  restartedAtMs: number;
  /** From the restart until the replica is NORMAL and has caught up. */
  rejoinMs: number | undefined;
}

const warmUpMs = 1_000;
/** Of load before a kill, and between a kill and the restart. */
const steadyMs = 300;
const downMs = 1_000;
const rejoinLimitMs = 30_000;
const convergeLimitMs = 10_000;
const plotStepMs = 20;

/** Kills leader and followers by turns under load, and measures how long nothing is committed. */
export async function benchFailover(options: FailoverOptions): Promise<number> {
  const running = await startLoadedCluster({ design: "multicast" });
  const { cluster, load } = running;
  const progress = new Progress(options.kills + 1, "failover");
  await load.begin({ window: options.window });
  await sleep(warmUpMs);
  progress.step("warmed up");
  const kills: Kill[] = [];
  for (let i = 0; i < options.kills; i++) {
    const kill = await killOne(running, i % 2 === 0);
    kills.push(kill);
    progress.step(`replica ${kill.id}`);
    if (kill.rejoinMs === undefined) break; // one more would leave too few
  }
  const result = await load.finish();
  const end = await converge(cluster, convergeLimitMs);
  progress.stop();
  await stopLoadedCluster(running);
  return report(options, cluster.timing.detectMs, kills, result, end.converged, end.differences);
}

async function killOne({ cluster, replicas }: LoadedCluster, leader: boolean): Promise<Kill> {
  await sleep(steadyMs);
  const first = await leaderOf(cluster);
  const id = leader ? first : (first + 1) % replicas.count;
  const atMs = nowMs();
  await replicas.kill(id);
  await sleep(downMs);
  const restartedAtMs = nowMs();
  await replicas.start(id);
  return { id, leader, atMs, restartedAtMs, rejoinMs: await rejoined(cluster, id, rejoinLimitMs) };
}

async function report(
  options: FailoverOptions,
  detectMs: number,
  kills: Kill[],
  result: LoadResult,
  digestsAgree: boolean,
  differences: string,
): Promise<number> {
  const gaps = kills.map((kill) => longestGapMs(result, kill.atMs, kill.restartedAtMs));
  const of = (leader: boolean) => gaps.filter((_, i) => kills[i]!.leader === leader);
  const rejoins = kills.flatMap((kill) => (kill.rejoinMs === undefined ? [] : [kill.rejoinMs]));
  // What a rejoin costs those that are there: its own reconciliation, state transfer.
  const rejoinGaps = kills.map((kill) => longestGapMs(result, kill.restartedAtMs, kill.restartedAtMs + (kill.rejoinMs ?? 0)));
  const figures = {
    kills: kills.length,
    detectMs,
    longestGapMs: round(median(gaps)),
    longestGapMaxMs: round(Math.max(...gaps)),
    leaderGapMs: round(median(of(true))),
    followerGapMs: kills.length > 1 ? round(median(of(false))) : null,
    rejoinMs: rejoins.length > 0 ? round(median(rejoins)) : null,
    rejoinGapMs: round(median(rejoinGaps)),
    medianCommitMs: round(result.medianMs, 3),
    p99CommitMs: round(result.p99Ms, 3),
    operations: result.operations,
    failed: result.failed,
    lost: result.lost,
    duplicated: result.duplicated,
    digestsAgree,
  };
  const wrong = [...result.wrong];
  if (!digestsAgree) wrong.push(`replicas differ: ${differences}`);
  if (result.lost + result.duplicated > 0) wrong.push(`${result.lost} operations lost, ${result.duplicated} executed twice`);
  if (rejoins.length < kills.length) wrong.push(`replica ${kills.at(-1)?.id} did not rejoin within ${rejoinLimitMs / 1000} s`);

  console.log(`${kills.length} kills under load, ${options.window} outstanding, detection after ${detectMs} ms`);
  console.log(`  longest time without a result   median ${figures.longestGapMs} ms, most ${figures.longestGapMaxMs} ms`);
  console.log(`    leader killed                 median ${figures.leaderGapMs} ms`);
  if (figures.followerGapMs !== null) console.log(`    follower killed               median ${figures.followerGapMs} ms`);
  if (figures.rejoinMs !== null)
    console.log(
      `  caught up after its restart     median ${figures.rejoinMs} ms, meanwhile at most ${figures.rejoinGapMs} ms without a result`,
    );
  console.log(`  time of an operation            median ${figures.medianCommitMs} ms, 99% below ${figures.p99CommitMs} ms`);
  console.log(`  lost ${figures.lost}, executed twice ${figures.duplicated}, failed ${figures.failed}`);
  const file = await plotTimeline(kills, result);
  if (file !== undefined) console.log(`  plot: ${file}`);
  for (const what of wrong) console.log(`WRONG: ${what}`);
  if (options.json) console.log(JSON.stringify({ ...figures, wrong: wrong.length }));
  return wrong.length === 0 ? 0 : 1;
}

function plotTimeline(kills: readonly Kill[], result: LoadResult): Promise<string | undefined> {
  const since = (ms: number) => (ms - result.beganAtMs) / 1000;
  const events = kills.flatMap((kill) => [
    { seconds: since(kill.atMs), event: kill.leader ? "leader killed" : "follower killed" },
    { seconds: since(kill.restartedAtMs), event: "started again" },
    ...(kill.rejoinMs === undefined ? [] : [{ seconds: since(kill.restartedAtMs + kill.rejoinMs), event: "caught up" }]),
  ]);
  const x = { field: "seconds", type: "quantitative", title: "seconds" } as const;
  return plot("failover", {
    title: "Operations per second while replicas are killed",
    width: 1_000,
    height: 300,
    layer: [
      {
        data: { values: timeline(result, plotStepMs) },
        mark: { type: "line", interpolate: "step-after", strokeWidth: 1 },
        encoding: { x, y: { field: "opsPerSecond", type: "quantitative", title: "operations per second" } },
      },
      {
        data: { values: events },
        mark: { type: "rule", strokeDash: [3, 3] },
        encoding: { x, color: { field: "event", type: "nominal", title: null } },
      },
    ],
  });
}
