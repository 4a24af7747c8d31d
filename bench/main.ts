import { Command, CommanderError, InvalidArgumentError, Option } from "commander";
import { registerPaper } from "./paper/command.js";
import { registerCompare } from "./paper/compare/command.js";
import { experimentNames, protocolNames } from "./paper/record.js";
import { registerReport } from "./paper/report/command.js";

function positive(text: string): number {
  const value = Number(text);
  if (!(value > 0)) throw new InvalidArgumentError("a positive number is needed");
  return value;
}

/** For three replicas. */
const replicatedProtocols = protocolNames.filter((name) => name !== "unreplicated");

// 1 is for results that are wrong.
const usageError = 2;

const program = new Command("bench")
  .description("Benchmarks of Squall; docs/benchmarks.md says what each compares")
  .showHelpAfterError("Run with --help to see what is allowed.")
  .exitOverride()
  .configureOutput({ outputError: (text, write) => write(text.replace(/^error: /, "error USAGE: ")) })
  .on("command:*", ([name]: string[]) => {
    const names = program.commands.map((command) => command.name()).join(", ");
    const hint = (experimentNames as readonly string[]).includes(name ?? "") ? ` Experiments are parts of the suite: paper ${name}.` : "";
    program.error(`error: there is no benchmark "${name}". There are: ${names}.${hint}`);
  });

program
  .command("commit")
  .description("committed operations: Squall and a C floor side by side, in one run")
  .option("--json", "print the figures as one JSON object on the last line", false)
  .option("--quick", "few and short runs: a first impression", false)
  .option("--rounds <n>", "runs of each side, by turns", positive)
  .option("--seconds <s>", "length of each run", positive)
  .addOption(new Option("--protocol <name>", "this protocol alone, beside a floor of as many round trips").choices(protocolNames))
  .addOption(new Option("--wait <how>", "how Squall's loops wait for datagrams").choices(["block", "yield", "spin"]))
  .action(async ({ json, quick, rounds, seconds, protocol, wait }) => {
    const { benchCommit, benchProtocol } = await import("./commit/commit.js");
    const runs = { rounds: rounds ?? (quick ? 3 : 7), secondsPerRun: seconds ?? (quick ? 0.4 : 1) };
    const options = { json, ...runs, pinned: true, ...(wait && { wait }) };
    process.exit(await (protocol === undefined ? benchCommit(options) : benchProtocol({ ...options, protocol })));
  });

program
  .command("smoke")
  .description("a commit bench of about ten seconds, for continuous integration: fails only on wrong results")
  .action(async () => {
    const { benchCommit } = await import("./commit/commit.js");
    process.exit(await benchCommit({ json: true, rounds: 1, secondsPerRun: 0.5, pinned: false }));
  });

program
  .command("one-process")
  .description("three replicas and a client on one event loop: processor time an operation, and a target for a profiler")
  .option("--window <n>", "operations kept outstanding", positive, 64)
  .option("--seconds <s>", "length of each round", positive, 1)
  .option("--rounds <n>", "how many rounds, after one to warm up", positive, 5)
  .addOption(new Option("--wait <how>", "how the loop waits for datagrams").choices(["block", "yield", "spin"]).default("block"))
  .action(async (options) => {
    const { benchOneProcess } = await import("./one-process.js");
    await benchOneProcess(options);
    process.exit(0);
  });

program
  .command("garbage")
  .description("JavaScript heap allocated per operation, at replicas and clients")
  .option("--json", "print the figures as one JSON object on the last line", false)
  .action(async ({ json }) => {
    const { benchGarbage } = await import("./garbage/garbage.js");
    process.exit(await benchGarbage(json));
  });

program
  .command("micro")
  .description("hash, seal, open, codec, session, merge, upcall, round trip in one process")
  .argument("[names...]", "only these")
  .action(async (names: string[]) => {
    const { benchMicro } = await import("./micro/micro.js");
    await benchMicro(names);
    process.exit(0);
  });

program
  .command("failover")
  .description("kill -9 of leader and followers by turns under load: how long nothing is committed")
  .option("--json", "print the figures as one JSON object on the last line", false)
  .option("--quick", "few kills: a first impression", false)
  .option("--kills <n>", "how many", positive)
  .option("--window <n>", "operations kept outstanding", positive, 16)
  .action(async ({ json, quick, kills, window }) => {
    const { benchFailover } = await import("./failover/failover.js");
    process.exit(await benchFailover({ json, kills: kills ?? (quick ? 4 : 20), window }));
  });

program
  .command("rolling")
  .description("restart all replicas, one at a time, under load: no operation may fail")
  .option("--json", "print the figures as one JSON object on the last line", false)
  .option("--rounds <n>", "how often each replica is restarted", positive, 1)
  .option("--window <n>", "operations kept outstanding", positive, 16)
  .action(async ({ json, rounds, window }) => {
    const { benchRolling } = await import("./rolling/rolling.js");
    process.exit(await benchRolling({ json, rounds, window }));
  });

program
  .command("transfer")
  .description("throughput while a replica without memory fetches a large state")
  .option("--json", "print the figures as one JSON object on the last line", false)
  .option("--rounds <n>", "how many transfers", positive, 3)
  .option("--mebibytes <n>", "size of the state", positive, 64)
  .option("--window <n>", "operations kept outstanding", positive, 64)
  .action(async ({ json, rounds, mebibytes, window }) => {
    const { benchTransfer } = await import("./transfer/transfer.js");
    process.exit(await benchTransfer({ json, rounds, mebibytes, window }));
  });

program
  .command("durability")
  .description("throughput and latency with durability memory, async and sync")
  .option("--json", "print the figures as one JSON object on the last line", false)
  .option("--quick", "few and short runs: a first impression", false)
  .option("--rounds <n>", "runs of each, by turns", positive)
  .option("--seconds <s>", "length of each run", positive)
  .option("--window <n>", "operations kept outstanding", positive, 64)
  .addOption(new Option("--protocol <name>", "what orders the operations").choices(replicatedProtocols).default("speculative"))
  .option("--directory <path>", "where to write: on the device in question", "bench-results")
  .action(async ({ json, quick, rounds, seconds, window, protocol, directory }) => {
    const { benchDurability } = await import("./durability/durability.js");
    const options = { rounds: rounds ?? (quick ? 1 : 5), seconds: seconds ?? (quick ? 1 : 3) };
    process.exit(await benchDurability({ json, window, protocol, directory, ...options }));
  });

program
  .command("endurance")
  .description("resident memory of the replicas over many operations")
  .option("--json", "print the figures as one JSON object on the last line", false)
  .option("--quick", "few operations: a first impression", false)
  .option("--ops <n>", "how many operations", positive)
  .option("--window <n>", "operations kept outstanding", positive, 64)
  .action(async ({ json, quick, ops, window }) => {
    const { benchEndurance } = await import("./endurance/endurance.js");
    process.exit(await benchEndurance({ json, operations: ops ?? (quick ? 2e6 : 50e6), window }));
  });

program
  .command("reorder")
  .description("throughput of the modes under artificial reordering at the replicas (the paper's Figure 9), and steps of it")
  .option("--json", "print the figures as one JSON object on the last line", false)
  .option("--quick", "few and short runs: a first impression", false)
  .option("--rounds <n>", "runs of each mode at each rate, by turns", positive)
  .option("--seconds <s>", "length of each run", positive)
  .option("--step-seconds <s>", "length of each step of the run with steps", positive)
  .option("--window <n>", "operations kept outstanding", positive, 64)
  .action(async ({ json, quick, rounds, seconds, stepSeconds, window }) => {
    const { benchReorder } = await import("./reorder/reorder.js");
    const lengths = { secondsPerRun: seconds ?? (quick ? 0.5 : 2), stepSeconds: stepSeconds ?? (quick ? 2 : 10) };
    process.exit(await benchReorder({ json, rounds: rounds ?? (quick ? 1 : 5), ...lengths, window }));
  });

program
  .command("storage")
  .description("group commit of Squall's storage, of plain files and of embedded stores: throughput and latency")
  .option("--json", "print the figures as one JSON object on the last line", false)
  .option("--quick", "few and short runs: a first impression", false)
  .option("--rounds <n>", "runs of each engine and batch, by turns", positive)
  .option("--seconds <s>", "length of each run", positive)
  .option("--directory <path>", "where to write: on the device in question", "bench-results")
  .action(async ({ json, quick, rounds, seconds, directory }) => {
    const { benchStorage } = await import("./storage/storage.js");
    const lengths = { rounds: rounds ?? (quick ? 1 : 5), secondsPerRun: seconds ?? (quick ? 0.3 : 1) };
    process.exit(await benchStorage({ json, ...lengths, directory }));
  });

registerPaper(program);
registerReport(program);
registerCompare(program);

program.parseAsync().catch((error: unknown) => {
  if (error instanceof CommanderError) process.exit(error.exitCode === 0 ? 0 : usageError);
  const { code, message = String(error) } = (error ?? {}) as Partial<NodeJS.ErrnoException>;
  const [, library] = (code === "ERR_MODULE_NOT_FOUND" && /Cannot find package '([^']+)'/.exec(message)) || [];
  console.error(library === undefined ? message : `This needs the package ${library}, which is there in a checkout of Squall only.`);
  process.exit(usageError);
});
