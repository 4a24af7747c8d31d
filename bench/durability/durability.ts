import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { Durability } from "squall";
import { sleep, startLoadedCluster, stopLoadedCluster } from "../cluster.js";
import { converge } from "../convergence.js";
import { Progress } from "../progress.js";
import { median, round } from "../statistics.js";

export interface DurabilityOptions {
  json: boolean;
  /** Runs of each level, by turns. */
  rounds: number;
  /** Length of each run. */
  seconds: number;
  /** Operations kept outstanding in the runs for throughput. */
  window: number;
  /** Of the cluster file. */
  protocol: string;
  /** Where the data directories go: on the device in question. */
  directory: string;
}

const levels: Durability[] = ["memory", "async", "sync"];
const convergeLimitMs = 20_000;

interface Run {
  opsPerSecond: number;
  medianMs: number;
  p99Ms: number;
}

/** Throughput with a window of operations and latency of one at a time, without a disk, with one in the background, and with one waited for. */
export async function benchDurability(options: DurabilityOptions): Promise<number> {
  mkdirSync(options.directory, { recursive: true });
  const progress = new Progress(options.rounds * levels.length, "run");
  const runs: Record<string, Run[]> = {};
  const wrong: string[] = [];
  for (let i = 0; i < options.rounds; i++) {
    for (const level of levels) {
      const run = await measure(level, options, wrong);
      runs[level] = [...(runs[level] ?? []), run];
      progress.step(`${level} ${round(run.opsPerSecond, 0)}/s`);
    }
  }
  progress.stop();
  const figures = Object.fromEntries(
    levels.map((level) => {
      const each = runs[level] ?? [];
      return [
        level,
        {
          opsPerSecond: round(median(each.map(({ opsPerSecond }) => opsPerSecond)), 0),
          medianMs: round(median(each.map(({ medianMs }) => medianMs)), 2),
          p99Ms: round(median(each.map(({ p99Ms }) => p99Ms)), 2),
        },
      ];
    }),
  );
  console.log(`${options.protocol}, 3 replicas, medians of ${options.rounds} runs of ${options.seconds} s`);
  for (const [level, { opsPerSecond, medianMs, p99Ms }] of Object.entries(figures)) {
    console.log(
      `  ${level.padEnd(8)} ${opsPerSecond} operations/s with ${options.window} outstanding; one at a time ${medianMs} ms, p99 ${p99Ms} ms`,
    );
  }
  for (const what of wrong) console.log(`WRONG: ${what}`);
  if (options.json) console.log(JSON.stringify({ ...figures, protocol: options.protocol, window: options.window, wrong: wrong.length }));
  return wrong.length === 0 ? 0 : 1;
}

async function measure(durability: Durability, options: DurabilityOptions, wrong: string[]): Promise<Run> {
  const data = mkdtempSync(join(options.directory, "durability-"));
  try {
    const one = await load(durability, join(data, "one"), 1, options, wrong);
    const many = await load(durability, join(data, "many"), options.window, options, wrong);
    return { opsPerSecond: many.opsPerSecond, medianMs: one.medianMs, p99Ms: one.p99Ms };
  } finally {
    rmSync(data, { recursive: true, force: true });
  }
}

async function load(
  durability: Durability,
  data: string,
  window: number,
  { protocol, seconds }: DurabilityOptions,
  wrong: string[],
): Promise<Run> {
  const folder = durability === "memory" ? {} : { data };
  const running = await startLoadedCluster({ design: "multicast", protocol, durability, ...folder });
  try {
    await running.load.begin({ window });
    await sleep(seconds * 1000);
    const result = await running.load.finish();
    const end = await converge(running.cluster, convergeLimitMs);
    wrong.push(...result.wrong);
    if (!end.converged) wrong.push(`${durability}: replicas differ: ${end.differences}`);
    const { operations, beganAtMs, endedAtMs, medianMs, p99Ms } = result;
    return { opsPerSecond: (operations * 1000) / (endedAtMs - beganAtMs), medianMs, p99Ms };
  } finally {
    await stopLoadedCluster(running);
  }
}
