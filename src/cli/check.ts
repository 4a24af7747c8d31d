import pc from "picocolors";
import { checkMachine } from "../check.js";
import { jsonOption, type Register, wholeNumber } from "./arguments.js";
import { thousands } from "./output.js";

interface Options {
  operations?: number;
  seed?: number;
  operationBytes?: number;
  json: boolean;
}

export const registerCheck: Register = (program) => {
  program
    .command("check")
    .description("run a machine twice over random operations and rollbacks, and report any divergence")
    .argument("<module>", "JavaScript module whose default export is the machine")
    .option("--operations <number>", "how many (default: 2000)", wholeNumber(1, 10_000_000))
    .option("--seed <number>", "repeats a run (default: random)", wholeNumber(0, 2 ** 32 - 1))
    .option("--operation-bytes <number>", "longest random operation (default: 64)", wholeNumber(1, 1 << 20))
    .addOption(jsonOption())
    .action(async (module: string, { json, ...options }: Options) => {
      const report = await checkMachine(module, options);
      if (json) {
        console.log(JSON.stringify(report));
      } else {
        for (const { kind, message } of report.findings) console.log(`${pc.red(`${kind}:`)} ${message}`);
        const { operations, rollbacks, commits, queries, threw, seed } = report;
        const counts = `${thousands(operations)} operations (${threw} threw), ${rollbacks} rollbacks, ${commits} commits, ${queries} queries, seed ${seed}`;
        console.log(`${report.ok ? pc.green("no divergence") : pc.red("not a state machine")}: ${counts}`);
        for (const note of report.notes) console.log(`${pc.yellow("note:")} ${note}`);
      }
      if (!report.ok) process.exitCode = 1;
    });
};
