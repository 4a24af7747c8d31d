import type { Mode } from "../cluster-file.js";
import { Group, type GroupRun } from "../commit/group.js";
import { plot } from "../plot.js";
import { Progress } from "../progress.js";
import { median, round } from "../statistics.js";
import { temporaryFolder } from "../temporary-folder.js";
import { plotSteps, runSteps, type Steps } from "./steps.js";

export interface ReorderOptions {
  json: boolean;
  /** Runs of each mode at each rate. */
  rounds: number;
  secondsPerRun: number;
  stepSeconds: number;
  /** Operations kept outstanding by the one client process. */
  window: number;
}

const modes = ["speculative", "leader", "adaptive"] as const satisfies Mode[];
/** Of a million requests at each replica. */
const ratesPpm = [0, 10, 100, 1_000, 10_000, 100_000];
/** For the adaptive group to choose its mode before it is measured, and for compilers. */
const settleSeconds = 3;

interface RateFigures {
  ratePercent: number;
  speculative: number;
  leader: number;
  adaptive: number;
  ratio: number;
  /** Operations whose replies did not match at first, of the speculative runs. */
  mismatches: number;
}

type Groups = Record<(typeof modes)[number], Group>;

/** Throughput of the three modes, by turns, at each rate of reordering; then steps of the rate within one run. */
export async function benchReorder(options: ReorderOptions): Promise<number> {
  const folder = temporaryFolder();
  const groups = {} as Groups;
  for (const mode of modes) groups[mode] = await Group.start({ folder, name: mode, design: "multicast", mode, clients: 1 });
  const progress = new Progress(ratesPpm.length * (1 + options.rounds) + 1, "reorder");
  const rates: RateFigures[] = [];
  for (const ppm of ratesPpm) rates.push(await measureRate(groups, ppm, options, progress));
  const steps = await runSteps(groups.adaptive, { ...options, settleSeconds });
  progress.step("steps");
  progress.stop();
  for (const mode of modes) groups[mode].stop();

  const wrong = [...modes.flatMap((mode) => groups[mode].wrong.map((what) => `${mode}: ${what}`)), ...steps.wrong];
  const failures = modes.flatMap((mode) => groups[mode].failures);
  print(rates, steps);
  const files = [await plotRates(rates), await plotSteps(steps)].filter((file) => file !== undefined);
  for (const file of files) console.log(`plot: ${file}`);
  for (const failure of failures.slice(0, 5)) console.log(`not answered: ${failure}`);
  for (const what of wrong.slice(0, 10)) console.log(`WRONG: ${what}`);
  if (options.json) {
    const stepFigures = steps.steps;
    const leastRatio = Math.min(...rates.map((rate) => rate.ratio));
    console.log(JSON.stringify({ rates, leastRatio, steps: stepFigures, failed: failures.length, wrong: wrong.length }));
  }
  return wrong.length === 0 ? 0 : 1;
}

async function measureRate(groups: Groups, ppm: number, options: ReorderOptions, progress: Progress): Promise<RateFigures> {
  const name = `${ppm / 10_000}%`;
  for (const [index, mode] of modes.entries()) {
    await groups[mode].reorder(ppm, 1 + ppm * 100 + index * 10);
    await groups[mode].run(1, options.window, settleSeconds);
  }
  progress.step(name);
  const runs: Record<(typeof modes)[number], GroupRun[]> = { speculative: [], leader: [], adaptive: [] };
  for (let i = 0; i < options.rounds; i++) {
    for (const mode of modes) runs[mode].push(await groups[mode].run(1, options.window, options.secondsPerRun));
    progress.step(name);
  }
  const speed = (mode: (typeof modes)[number]) => Math.round(median(runs[mode].map((run) => run.opsPerSecond)));
  const [speculative, leader, adaptive] = [speed("speculative"), speed("leader"), speed("adaptive")];
  const operations = runs.speculative.reduce((sum, run) => sum + run.operations, 0);
  const mismatches = runs.speculative.reduce((sum, run) => sum + run.mismatches, 0);
  return {
    ratePercent: ppm / 10_000,
    speculative,
    leader,
    adaptive,
    ratio: round(adaptive / Math.max(speculative, leader), 3),
    mismatches: round(mismatches / operations, 5),
  };
}

function print(rates: readonly RateFigures[], steps: Steps): void {
  console.log("operations per second, one client process, three replica processes");
  console.log("reordered  speculative     leader   adaptive  adaptive / better fixed mode");
  for (const rate of rates) {
    const columns = [rate.speculative, rate.leader, rate.adaptive].map((value, i) => String(value).padStart([13, 11, 11][i]!));
    console.log(`${`${rate.ratePercent}%`.padStart(9)}${columns.join("")}  ${rate.ratio}`);
  }
  console.log("\nadaptive, the rate stepping within one run");
  for (const step of steps.steps) {
    const recovered = step.recoveryMs === null ? "did not recover" : `at 0.9 of it after ${step.recoveryMs} ms`;
    const at = step.switchMs === null ? "" : ` (after ${step.switchMs} ms)`;
    console.log(
      `${`${step.ratePercent}%`.padStart(9)}  ${step.opsPerSecond} op/s, ${recovered}, ${step.switches} mode switches${at}, then ${step.mode}`,
    );
  }
}

/** As Figure 9 of the paper: throughput against the rate, logarithmic but for 0. */
function plotRates(rates: readonly RateFigures[]): Promise<string | undefined> {
  const values = rates.flatMap((rate) => modes.map((mode) => ({ rate: `${rate.ratePercent}%`, mode, opsPerSecond: rate[mode] })));
  return plot("reorder", {
    title: "Throughput under packet reordering",
    width: 500,
    height: 300,
    data: { values },
    mark: { type: "line", point: true },
    encoding: {
      x: { field: "rate", type: "ordinal", sort: null, title: "requests reordered at each replica", axis: { labelAngle: 0 } },
      y: { field: "opsPerSecond", type: "quantitative", title: "operations per second" },
      color: { field: "mode", type: "nominal", title: null, sort: null },
    },
  });
}
