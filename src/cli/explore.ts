import { Guard } from "../data/binding.js";
import { loadBinding } from "../data/load.js";
import { SquallError } from "../errors.js";
import { type Exploration, explore } from "../explore/explore.js";
import { jsonOption, type Register, wholeNumber } from "./arguments.js";

interface Options {
  replicas: number;
  ops: number;
  crashes: number;
  views: number;
  depth?: number;
  mode: string;
  after?: string[];
  walk?: number;
  without?: string;
  states: number;
  seconds: number;
  json: boolean;
}

const modes = ["speculative", "leader", "adaptive"] as const;

export const registerExplore: Register = (program) => {
  program
    .command("explore")
    .description("search every state that a small group can get into, whatever is delivered, lost, repeated, late or crashes")
    .option("--replicas <number>", "3 or 5", wholeNumber(3, 5), 3)
    .option("--ops <number>", "operations of the client, all outstanding at once", wholeNumber(1, 3), 1)
    .option("--crashes <number>", "how often a replica may lose its memory, at most f at a time", wholeNumber(0, 8), 0)
    .option("--views <number>", "the highest view", wholeNumber(0, 8), 1)
    .option("--depth <number>", "most steps from the beginning (default: no bound)", wholeNumber(1, 1e6))
    .option("--mode <mode>", "speculative, leader or adaptive", "speculative")
    .option("--after <events...>", "begin behind these events, each as a trace shows it")
    .option("--walk <seed>", "random walks instead of a search of everything: they get further, and prove nothing", wholeNumber(0, 2 ** 31))
    .option("--without <guard>", "search without a rule of the protocol, by the name that the list of guards gives it; needs a test build")
    .option("--states <number>", "most states", wholeNumber(1, 1e9), 200_000_000)
    .option("--seconds <number>", "most seconds", wholeNumber(1, 1e6), 3600)
    .addOption(jsonOption())
    .action((options: Options) => {
      const result = search(options);
      if (options.json) console.log(JSON.stringify(result));
      else print(result);
      if (result.violations.length > 0) process.exitCode = 1;
    });
};

function search({ json, states: maxStates, seconds, without, mode: name, replicas, depth, walk, ...options }: Options): Exploration {
  const mode = modes.find((one) => one === name);
  if (mode === undefined) throw new SquallError("INVALID_OPTION", `--mode takes ${modes.join(", ")}; it is "${name}".`);
  if (replicas % 2 === 0) throw new SquallError("INVALID_OPTION", `--replicas takes 3 or 5; it is ${replicas}.`);
  const binding = loadBinding();
  const guardsOff = guardNamed(without);
  if (guardsOff !== 0 && !binding.mutations) {
    throw new SquallError(
      "INVALID_OPTION",
      "--without needs a test build: `npm run build:mutations` in the repository, then SQUALL_BINDING=build/Mutations/squall.node.",
    );
  }
  const bounds = {
    maxStates,
    maxMs: seconds * 1000,
    ...(depth === undefined ? {} : { depth }),
    ...(walk === undefined ? {} : { seed: walk }),
  };
  const report = json || !process.stderr.isTTY ? {} : { onProgress: showProgress };
  return explore({ binding, replicas, mode, guardsOff, ...options, ...bounds, ...report });
}

function guardNamed(name: string | undefined): number {
  if (name === undefined) return 0;
  const guard = Object.entries(Guard).find(([one]) => one.toLowerCase() === name.toLowerCase());
  if (!guard) throw new SquallError("INVALID_OPTION", `There is no guard "${name}"; there are ${Object.keys(Guard).join(", ")}.`);
  return guard[1];
}

function showProgress({ states, transitions, depth }: { states: number; transitions: number; depth: number }): void {
  process.stderr.write(`\r${states} states, ${transitions} transitions, ${depth} steps deep `);
}

function print({ states, transitions, depth, exhausted, violations, steps, replicaStates, ms }: Exploration): void {
  if (process.stderr.isTTY) process.stderr.write("\n");
  const seconds = Math.round(ms / 100) / 10;
  console.log(`states       ${states}, of single replicas ${replicaStates}`);
  console.log(`transitions  ${transitions}, of which the code ran ${steps} and the rest was known`);
  console.log(`depth        ${depth}`);
  console.log(`exhausted    ${exhausted ? "yes" : "no"}`);
  console.log(`violations   ${violations.length}`);
  console.log(`seconds      ${seconds}`);
  for (const { what, trace } of violations) {
    console.log(`\n${what}`);
    trace.forEach((line, i) => void console.log(`${String(i + 1).padStart(4)}  ${line}`));
  }
}
