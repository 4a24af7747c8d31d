import pc from "picocolors";
import { type ReplicaReport, status } from "../index.js";
import { clientKeyOption, clusterOption, jsonOption, type Register, wholeNumber } from "./arguments.js";
import { table, thousands } from "./output.js";

interface Options {
  cluster: string;
  clientKey?: string;
  json: boolean;
  digest: boolean;
  deadline: number;
}

export const registerStatus: Register = (program) => {
  program
    .command("status")
    .description("what each replica says about itself")
    .addOption(clusterOption())
    .addOption(clientKeyOption())
    .addOption(jsonOption())
    .option("--digest", "ask for the digest of the machine's state too", false)
    .option("--deadline <ms>", "wait for answers at most so long", wholeNumber(1, 3_600_000), 1000)
    .action(async (options: Options) => {
      const reports = await status({
        cluster: options.cluster,
        deadlineMs: options.deadline,
        digest: options.digest,
        ...(options.clientKey === undefined ? {} : { clientKey: options.clientKey }),
      });
      if (options.json) console.log(JSON.stringify(reports.map((report, id) => report ?? { id, status: "no answer" })));
      else console.log(describe(reports));
      if (reports.every((report) => report === undefined)) process.exitCode = 1;
    });
};

const heading = ["replica", "status", "view", "speculative", "executed", "committed", "hash", "reconciliations", "rolled back", "dropped"];

function describe(reports: (ReplicaReport | undefined)[]): string {
  const rows = reports.map((report, id) => (report === undefined ? [String(id), "no answer"] : rowOf(report)));
  const notes = reports.flatMap((report) => (report === undefined ? [] : notesOf(report)));
  return [table(heading, rows), ...notes].join("\n");
}

function rowOf(report: ReplicaReport): string[] {
  const { counters } = report;
  const dropped = Object.values(counters.dropped).reduce((sum, count) => sum + count, 0);
  const numbers = [report.speculative, report.executed, report.committed].map(thousands);
  const counts = [counters.reconciliations, counters.rolledBack, dropped].map(thousands);
  return [String(report.id), report.status, String(report.view), ...numbers, report.hash.slice(0, 12), ...counts];
}

function notesOf({ id, digest, failure, broken, halted }: ReplicaReport): string[] {
  return [
    ...(digest === undefined ? [] : [`replica ${id}: digest ${digest}`]),
    ...(halted && failure !== undefined
      ? [pc.red(`replica ${id} stands still: ${failure.upcall} at ${failure.seqno}: ${failure.message}`)]
      : []),
    ...(broken === undefined ? [] : [pc.red(`replica ${id} stopped: ${broken}`)]),
  ];
}
