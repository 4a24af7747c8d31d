import { Command, InvalidArgumentError } from "commander";

function positive(text: string): number {
  const value = Number(text);
  if (!(value > 0)) throw new InvalidArgumentError("a positive number is needed");
  return value;
}

const program = new Command("bench").description("Benchmarks of Squall; docs/benchmarks.md says what each compares");

program
  .command("commit")
  .description("committed operations: Squall and a C floor side by side, in one run")
  .option("--json", "print the figures as one JSON object on the last line", false)
  .option("--quick", "few and short runs: a first impression", false)
  .option("--rounds <n>", "runs of each side, by turns", positive)
  .option("--seconds <s>", "length of each run", positive)
  .action(async ({ json, quick, rounds, seconds }) => {
    const { benchCommit } = await import("./commit/commit.js");
    process.exit(await benchCommit({ json, rounds: rounds ?? (quick ? 3 : 7), secondsPerRun: seconds ?? (quick ? 0.4 : 1), pinned: true }));
  });

program
  .command("smoke")
  .description("a commit bench of about ten seconds, for continuous integration: fails only on wrong results")
  .action(async () => {
    const { benchCommit } = await import("./commit/commit.js");
    process.exit(await benchCommit({ json: true, rounds: 1, secondsPerRun: 0.5, pinned: false }));
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

program.parseAsync().catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : error);
  process.exit(2);
});
