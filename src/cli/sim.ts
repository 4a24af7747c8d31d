import { Presets, SingleBar } from "cli-progress";
import { protocolNames } from "../config/protocols.js";
import { SquallError } from "../errors.js";
import { profiles } from "../sim/profiles.js";
import { type RunOptions, runSimulations } from "../sim/run.js";
import { jsonOption, type Register, wholeNumber } from "./arguments.js";

interface Options {
  seed?: number;
  seeds?: number;
  protocol?: string;
  replicas?: string;
  clients?: number;
  ops?: number;
  faults?: string;
  workers?: number;
  trace?: boolean;
  json: boolean;
}

/** From so many seeds on, a progress bar and the seeds that failed instead of one line a seed. */
const manySeeds = 20;

export const registerSim: Register = (program) => {
  program
    .command("sim")
    .description("simulate whole clusters on virtual time under faults, and check that they are linearizable and converge")
    .option("--seed <number>", "first seed (default: 1)", wholeNumber(0, Number.MAX_SAFE_INTEGER))
    .option("--seeds <number>", "how many, counting up (default: 1)", wholeNumber(1, 1e9))
    .option("--protocol <name>", `${protocolNames.join(", ")} (default: speculative)`)
    .option("--replicas <number>", "3, 5 or 7; several, separated by commas, take turns (default: 3; unreplicated: 1)")
    .option("--clients <number>", "clients of each cluster (default: 4)", wholeNumber(1, 256))
    .option("--ops <number>", "operations of each seed (default: 2000)", wholeNumber(1, 10_000_000))
    .option(
      "--faults <profile>",
      `${Object.keys(profiles).join(", ")}; with a script of the simulator's own tests: mutation:<script> (default: default)`,
    )
    .option("--workers <number>", "threads (default: one a core)", wholeNumber(1, 256))
    .option("--trace", "print every event, in one thread")
    .addOption(jsonOption())
    .action(async ({ replicas, ...options }: Options) => {
      const counts = replicas?.split(",").map(Number);
      const run: RunOptions = { ...options, ...(counts === undefined ? {} : { replicas: counts }) };
      if (counts?.some((count) => !Number.isInteger(count))) {
        throw new SquallError("INVALID_OPTION", `--replicas takes 3, 5, 7 or several of them separated by commas; it is "${replicas}".`);
      }
      const summary = await (!options.json && !options.trace && (options.seeds ?? 1) > manySeeds ? withProgress(run) : runSimulations(run));
      if (!summary.ok) process.exitCode = 1;
    });
};

async function withProgress(run: RunOptions) {
  const format = "{bar} {value}/{total} seeds, {failed} failed, {eta_formatted} left";
  const bar = new SingleBar({ format, clearOnComplete: true, etaBuffer: 200, hideCursor: true }, Presets.shades_classic);
  let failed = 0;
  let passedJustNow = false;
  bar.start(run.seeds ?? 1, 0, { failed });
  try {
    return await runSimulations({
      ...run,
      onResult(result) {
        passedJustNow = result.linearizable && result.converged;
        if (!passedJustNow) failed++;
        bar.increment(1, { failed });
      },
      print(line) {
        if (passedJustNow) passedJustNow = false;
        else console.log(line);
      },
    });
  } finally {
    bar.stop();
  }
}
