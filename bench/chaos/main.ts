import { randomInt } from "node:crypto";
import { Command, InvalidArgumentError, Option } from "commander";
import { SquallError } from "squall";
import { namespacesWork } from "./namespaces.js";
import { maxClients } from "./operations.js";
import { type FaultKind, faultKinds, networkFaults } from "./plan.js";
import { print, summary } from "./report.js";
import { runChaos } from "./run.js";

interface Given {
  minutes: number;
  seed: number;
  replicas: number;
  clients: number;
  rate: number;
  namespaces: "auto" | "yes" | "no";
  faults: FaultKind[];
  json: boolean;
}

function between(low: number, high: number, whole = true): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!(value >= low && value <= high) || (whole && !Number.isInteger(value))) throw new InvalidArgumentError(`from ${low} to ${high}.`);
    return value;
  };
}

function faultList(text: string): FaultKind[] {
  const names = text.split(",").map((name) => name.trim());
  const unknown = names.find((name) => !(faultKinds as readonly string[]).includes(name));
  if (unknown !== undefined) throw new InvalidArgumentError(`'${unknown}' is none of ${faultKinds.join(", ")}.`);
  return names as FaultKind[];
}

const program = new Command("chaos")
  .configureOutput({ outputError: (text, write) => write(text.replace(/^error: /, "error USAGE: ")) })
  .description("real replica and client processes under faults, judged by the linearizability checker; docs/chaos.md")
  .requiredOption("--minutes <m>", "how long faults go on; parts of minutes are fine", between(0.02, 24 * 60, false))
  .option("--seed <s>", "repeats the plan of faults and operations (default: random)", between(0, 2 ** 48))
  .addOption(new Option("--replicas <n>", "3, 5, 7 or 9").argParser(between(3, 9)).default(3))
  .option("--clients <c>", "client processes", between(1, maxClients), 4)
  .option("--rate <ops>", "operations per second of all clients together", between(1, 100_000), 2_000)
  .addOption(
    new Option("--namespaces <when>", "a network namespace for each replica, which needs root; else loopback, where nothing can be cut")
      .choices(["auto", "yes", "no"])
      .default("auto"),
  )
  .option("--faults <list>", `some of ${faultKinds.join(",")}`, faultList, [...faultKinds])
  .option("--json", "print the figures as one JSON object on the last line", false)
  .action(async (given: Given) => {
    const namespaces = given.namespaces === "yes" || (given.namespaces === "auto" && namespacesWork());
    if (!namespaces && given.faults.every((kind) => networkFaults.includes(kind)))
      throw new SquallError("INVALID_OPTION", "Without network namespaces nothing can be cut: name other faults, or run as root.");
    const report = await runChaos({
      durationMs: given.minutes * 60_000,
      seed: given.seed ?? randomInt(2 ** 32),
      replicas: given.replicas,
      clients: given.clients,
      opsPerSecond: given.rate,
      namespaces,
      faults: given.faults,
      progress: true,
    });
    print(report);
    if (given.json) console.log(JSON.stringify(summary(report)));
    process.exit(report.violations.length === 0 ? 0 : 1);
  });

program.parseAsync().catch((error: unknown) => {
  console.error(error instanceof SquallError ? `error ${error.code}: ${error.message}` : error instanceof Error ? error.message : error);
  process.exit(2);
});
