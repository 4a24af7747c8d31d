import { type Command, InvalidArgumentError } from "commander";
import { nearestName } from "../../dist/options.js";
import type { PaperOptions } from "./main.js";
import { experimentNames, protocolNames } from "./record.js";

export function registerPaper(program: Command): void {
  program
    .command("paper")
    .description("the suite: protocols side by side, the paper's figures, scaling and open loop, with a report; resumable")
    .argument("[experiments...]", `only these: ${experimentNames.join(", ")}`)
    .option("--quick", "few and short runs, about 3 minutes for all experiments", false)
    .option("--full", "long runs, about an hour", false)
    .option("--protocols <names>", `only these, with commas between them: ${protocolNames.join(", ")}`, listOf("protocol", protocolNames))
    .option("--seed <n>", "of what is drawn: reordering, arrivals", wholeNumber(0, 2 ** 32 - 1))
    .option("--result <file>", "where to write; by default a new file in bench-results")
    .option("--resume <file>", "go on with an interrupted result: runs that it has are not repeated")
    .option("--round <n>", "only this round of each experiment, from 0; adds to the result", wholeNumber(0, 1_000))
    .option("--list", "what would be run, and how often", false)
    .option("--json", "print the summary as one JSON object on the last line", false)
    .action(async (given: string[], options: PaperOptions) => {
      const names = given.map((name) => checkedName("experiment", name, experimentNames));
      // In the suite's own order, whatever the order in which they were named.
      const chosen = names.length === 0 ? undefined : experimentNames.filter((name) => names.includes(name));
      if (options.quick && options.full) throw new Error("--quick and --full exclude each other");
      const { paper } = await import("./main.js");
      process.exit(await paper({ ...options, ...(chosen && { experiments: chosen }) }));
    });
}

/** `name` itself where it is one of `allowed`. Throws with the list, and the nearest name. */
function checkedName<Name extends string>(what: string, name: string, allowed: readonly Name[]): Name {
  if ((allowed as readonly string[]).includes(name)) return name as Name;
  const nearest = nearestName(name, allowed);
  const hint = nearest === undefined ? "" : ` Did you mean "${nearest}"?`;
  throw new Error(`there is no ${what} "${name}".${hint} There are: ${allowed.join(", ")}`);
}

function listOf<Name extends string>(what: string, allowed: readonly Name[]): (text: string) => Name[] {
  return (text) => {
    try {
      const names = text.split(",").map((name) => checkedName(what, name.trim(), allowed));
      return allowed.filter((name) => names.includes(name));
    } catch (error) {
      throw new InvalidArgumentError((error as Error).message);
    }
  };
}

function wholeNumber(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
    if (!(value >= min && value <= max)) throw new InvalidArgumentError(`a whole number from ${min} to ${max} is needed`);
    return value;
  };
}
