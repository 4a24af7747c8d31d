import { type Cluster, loadCluster, status } from "squall";
import { nowMs } from "../clock.js";
import { sleep } from "../cluster.js";
import type { Group } from "../commit/group.js";
import type { LoadResult } from "../load/calls.js";
import { Load, type TimelinePoint, timeline } from "../load/load.js";
import { plot } from "../plot.js";
import { median } from "../statistics.js";

export interface Step {
  ratePercent: number;
  /** Median over the step's second half. */
  opsPerSecond: number;
  /** From the step until the throughput is at 0.9 of that median and stays there for three points; null: never. */
  recoveryMs: number | null;
  /** Changes of the mode during the step, when the first of them was seen, since the step (null: none), and the mode at its end. */
  switches: number;
  switchMs: number | null;
  mode: string;
}

export interface Steps {
  steps: Step[];
  startsSeconds: number[];
  timeline: TimelinePoint[];
  wrong: string[];
}

const stepsPpm = [0, 10_000, 0];
const pointMs = 100;
const pointsInARow = 3;
const statusDeadlineMs = 200;
const pollMs = 20;

interface Observation {
  atMs: number;
  mode: string;
}

/** One run under load in which the rate of reordering goes 0, 1%, 0. */
export async function runSteps(group: Group, options: { stepSeconds: number; settleSeconds: number; window: number }): Promise<Steps> {
  const cluster = await loadCluster(group.cluster, { role: "client" });
  const load = await Load.start(group.cluster);
  await group.reorder(0, 0);
  const watch = new ModeWatch(cluster);
  await load.begin({ window: options.window });
  await sleep(options.settleSeconds * 1000);
  const startsMs: number[] = [];
  for (const [index, ppm] of stepsPpm.entries()) {
    startsMs.push(nowMs());
    await group.reorder(ppm, 1_000 + index * 10);
    await sleep(options.stepSeconds * 1000);
  }
  startsMs.push(nowMs());
  await watch.stop();
  const result = await load.finish();
  load.kill();
  await group.reorder(0, 0);
  const wrong = [...result.wrong];
  if (result.failed > 0) wrong.push(`steps: ${result.failed} operations failed`);
  if (result.lost + result.duplicated > 0) wrong.push(`steps: ${result.lost} operations lost, ${result.duplicated} executed twice`);
  const steps = stepsPpm.map((ppm, index) => ({
    ratePercent: ppm / 10_000,
    ...speedOf(result, startsMs[index]!, startsMs[index + 1]!),
    ...watch.between(startsMs[index]!, startsMs[index + 1]!),
  }));
  return {
    steps,
    startsSeconds: startsMs.slice(0, -1).map((ms) => (ms - result.beganAtMs) / 1000),
    timeline: timeline(result, pointMs),
    wrong,
  };
}

function speedOf(result: LoadResult, fromMs: number, toMs: number): Pick<Step, "opsPerSecond" | "recoveryMs"> {
  const from = (fromMs - result.beganAtMs) / 1000;
  const to = (toMs - result.beganAtMs) / 1000;
  const points = timeline(result, pointMs).filter(({ seconds }) => seconds >= from && seconds < to);
  const level = median(points.slice(points.length >> 1).map((point) => point.opsPerSecond));
  const recovered = points.findIndex((_, i) => {
    const next = points.slice(i, i + pointsInARow);
    return next.length === pointsInARow && next.every((point) => point.opsPerSecond >= 0.9 * level);
  });
  return {
    opsPerSecond: Math.round(level),
    recoveryMs: recovered < 0 ? null : Math.round((points[recovered]!.seconds - from) * 1000),
  };
}

/** The mode of the group's newest view, again and again. */
class ModeWatch {
  readonly #cluster: Cluster;
  readonly #observations: Observation[] = [];
  readonly #over: Promise<void>;
  #watching = true;

  constructor(cluster: Cluster) {
    this.#cluster = cluster;
    this.#over = this.#watch();
  }

  async stop(): Promise<void> {
    this.#watching = false;
    await this.#over;
  }

  /** Changes of the mode between two times, the first against the mode before. */
  between(fromMs: number, toMs: number): Pick<Step, "switches" | "switchMs" | "mode"> {
    const before = this.#observations.filter(({ atMs }) => atMs < fromMs).at(-1);
    const inside = this.#observations.filter(({ atMs }) => atMs >= fromMs && atMs < toMs);
    const seen = [...(before ? [before] : []), ...inside];
    const switched = seen.filter(({ mode }, i) => i > 0 && mode !== seen[i - 1]!.mode);
    const first = switched[0];
    return {
      switches: switched.length,
      switchMs: first === undefined ? null : Math.round(first.atMs - fromMs),
      mode: seen.at(-1)?.mode ?? "unknown",
    };
  }

  async #watch(): Promise<void> {
    while (this.#watching) {
      const reports = await status({ cluster: this.#cluster, deadlineMs: statusDeadlineMs });
      const normal = reports.filter((report) => report?.status === "normal").sort((a, b) => b!.view - a!.view);
      if (normal[0] !== undefined) this.#observations.push({ atMs: nowMs(), mode: normal[0].mode });
      await sleep(pollMs);
    }
  }
}

export function plotSteps({ timeline: values, steps, startsSeconds }: Steps): Promise<string | undefined> {
  const marks = steps.map((step, i) => ({ seconds: startsSeconds[i]!, rate: `${i + 1}: ${step.ratePercent}%` }));
  return plot("reorder-steps", {
    title: "Adaptive mode while the rate of reordering steps",
    width: 800,
    height: 300,
    layer: [
      {
        data: { values },
        mark: { type: "line", interpolate: "step-after", strokeWidth: 1 },
        encoding: {
          x: { field: "seconds", type: "quantitative" },
          y: { field: "opsPerSecond", type: "quantitative", title: "operations per second" },
        },
      },
      {
        data: { values: marks },
        mark: { type: "rule", strokeDash: [3, 3] },
        encoding: { x: { field: "seconds", type: "quantitative" }, color: { field: "rate", type: "nominal", title: "step" } },
      },
    ],
  });
}
