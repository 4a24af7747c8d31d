import pc from "picocolors";
import { type DoctorCheck, type DoctorReport, doctor } from "../index.js";
import { clientKeyOption, clusterOption, jsonOption, type Register, wholeNumber } from "./arguments.js";

interface Options {
  cluster: string;
  clientKey?: string;
  id?: number;
  json: boolean;
  deadline: number;
}

export const registerDoctor: Register = (program) => {
  program
    .command("doctor")
    .description("look at a cluster from this machine: what is wrong, and how to mend it; status 1 if anything fails")
    .addOption(clusterOption())
    .addOption(clientKeyOption())
    .option("--id <number>", "look at one replica only", wholeNumber(0, 8))
    .addOption(jsonOption())
    .option("--deadline <ms>", "wait for each answer at most so long", wholeNumber(1, 60_000), 1000)
    .action(async (options: Options) => {
      const report = await doctor({
        cluster: options.cluster,
        deadlineMs: options.deadline,
        ...(options.id === undefined ? {} : { id: options.id }),
        ...(options.clientKey === undefined ? {} : { clientKey: options.clientKey }),
      });
      console.log(options.json ? JSON.stringify(report) : describe(report));
      if (!report.ok) process.exitCode = 1;
    });
};

const colours = { ok: pc.green, warn: pc.yellow, fail: pc.red };

function describe({ checks }: DoctorReport): string {
  const count = (result: DoctorCheck["result"]): number => checks.filter((check) => check.result === result).length;
  return [...checks.map(line), `${count("ok")} ok, ${count("warn")} to look at, ${count("fail")} failed`].join("\n");
}

function line({ check, replica, result, message, remedy }: DoctorCheck): string {
  const who = replica === undefined ? "" : `replica ${replica}: `;
  const found = `${colours[result](result.padEnd(4))}  ${check.padEnd(13)}  ${who}${message}`;
  return remedy === undefined ? found : `${found}\n${" ".repeat(21)}${pc.bold(remedy)}`;
}
