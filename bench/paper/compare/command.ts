import { type Command, InvalidArgumentError } from "commander";
import { readRecord } from "../record.js";
import { compareResults } from "./compare.js";
import { printComparison } from "./print.js";

interface CompareOptions {
  json: boolean;
  differentMachines: boolean;
  run: boolean;
  against?: string;
  rounds: number;
  quick: boolean;
  full: boolean;
  protocols?: string;
  seed?: string;
  result?: string;
}

export function registerCompare(program: Command): void {
  program
    .command("compare")
    .description("two results of the suite `paper` side by side, with confidence intervals; --run measures two checkouts by turns first")
    .argument("[names...]", "two results (ratios are those of the second to the first); with --run: experiments")
    .option("--json", "print all figures as one JSON object on the last line", false)
    .option("--different-machines", "compare results of different machines all the same", false)
    .option("--run", "run the suite of another checkout (a) and of this one (b) by turns, then compare", false)
    .option("--against <checkout>", "with --run: a folder with a built checkout, or a commit, which is built first")
    .option("--rounds <n>", "with --run: how often each of them", wholeNumber, 7)
    .option("--quick", "with --run: as of the suite", false)
    .option("--full", "with --run: as of the suite", false)
    .option("--protocols <names>", "with --run: as of the suite")
    .option("--seed <n>", "with --run: as of the suite")
    .option("--result <name>", "with --run: write <name>-a.jsonl and <name>-b.jsonl")
    .action(async (names: string[], options: CompareOptions) => {
      const [fileA, fileB] = options.run ? await measure(names, options) : twoOf(names, options);
      const compared = compareResults(readRecord(fileA), readRecord(fileB), options.differentMachines);
      console.log(`a: ${fileA}\nb: ${fileB}`);
      printComparison(compared);
      if (options.json) console.log(JSON.stringify(compared));
    });
}

function twoOf(names: string[], { against }: CompareOptions): [string, string] {
  if (against !== undefined) throw new Error("--against goes with --run.");
  if (names.length !== 2)
    throw new Error(`compare needs two results, and got ${names.length}; to measure two checkouts first: --run --against.`);
  return names as [string, string];
}

async function measure(experiments: string[], options: CompareOptions): Promise<[string, string]> {
  if (options.against === undefined) throw new Error("--run needs --against: a folder with a built checkout, or a commit.");
  const [{ checkoutOf, ownRoot }, { runByTurns }] = await Promise.all([import("./checkouts.js"), import("./by-turns.js")]);
  const { protocols, seed, quick, full } = options;
  const suite = [
    ...(experiments.length > 0 ? experiments : ["latency"]),
    ...(quick ? ["--quick"] : []),
    ...(full ? ["--full"] : []),
    ...(protocols === undefined ? [] : ["--protocols", protocols]),
    ...(seed === undefined ? [] : ["--seed", seed]),
  ];
  const name = options.result ?? `bench-results/compare-${new Date().toISOString().slice(0, 19).replaceAll(":", "-")}`;
  return runByTurns({ a: checkoutOf(options.against), b: ownRoot, rounds: options.rounds, suite, name });
}

function wholeNumber(text: string): number {
  const value = Number(text);
  if (!(Number.isInteger(value) && value >= 1 && value <= 1000)) throw new InvalidArgumentError("a whole number from 1 to 1000 is needed");
  return value;
}
