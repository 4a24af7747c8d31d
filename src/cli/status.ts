import { type ReplicaReport, status, watchStatus } from "../index.js";
import { clientKeyOption, clusterOption, jsonOption, type Register, wholeNumber } from "./arguments.js";
import { aborted, table, thousands } from "./output.js";
import { describeSample, notesOf } from "./status-view.js";

interface Options {
  cluster: string;
  clientKey?: string;
  json: boolean;
  digest: boolean;
  deadline: number;
  watch: boolean;
  interval: number;
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
    .option("-w, --watch", "go on, with rates per second, until interrupted; with --json one line each time", false)
    .option("--interval <ms>", "how often, with --watch", wholeNumber(50, 3_600_000), 1000)
    .action(async (options: Options) => {
      const source = { cluster: options.cluster, ...(options.clientKey === undefined ? {} : { clientKey: options.clientKey }) };
      if (options.watch) return watch(options, source);
      const reports = await status({ ...source, deadlineMs: options.deadline, digest: options.digest });
      if (options.json) console.log(JSON.stringify(answers(reports)));
      else console.log(describe(reports));
      if (reports.every((report) => report === undefined)) process.exitCode = 1;
    });
};

async function watch({ interval, json }: Options, source: { cluster: string; clientKey?: string }): Promise<void> {
  const live = !json && process.stdout.isTTY ? (await import("log-update")).default : undefined;
  for await (const sample of watchStatus({ ...source, intervalMs: interval, signal: aborted() })) {
    if (json) console.log(JSON.stringify({ timeMs: sample.timeMs, replicas: answers(sample.replicas) }));
    else if (live === undefined) console.log(`${describeSample(sample, Number.POSITIVE_INFINITY)}\n`);
    else live(describeSample(sample, process.stdout.columns));
  }
  live?.done();
}

function answers(reports: (ReplicaReport | undefined)[]): unknown[] {
  return reports.map((report, id) => report ?? { id, status: "no answer" });
}

const heading = [
  "replica",
  "status",
  "view",
  "mode",
  "speculative",
  "executed",
  "committed",
  "hash",
  "reconciliations",
  "rolled back",
  "dropped",
];

function describe(reports: (ReplicaReport | undefined)[]): string {
  const rows = reports.map((report, id) => (report === undefined ? [String(id), "no answer"] : rowOf(report)));
  const digests = reports.flatMap((report) => (report?.digest === undefined ? [] : [`replica ${report.id}: digest ${report.digest}`]));
  return [table(heading, rows), ...digests, ...notesOf(reports)].join("\n");
}

function rowOf(report: ReplicaReport): string[] {
  const { counters } = report;
  const dropped = Object.values(counters.dropped).reduce((sum, count) => sum + count, 0);
  const numbers = [report.speculative, report.executed, report.committed].map(thousands);
  const counts = [counters.reconciliations, counters.rolledBack, dropped].map(thousands);
  return [String(report.id), report.status, String(report.view), report.mode, ...numbers, report.hash.slice(0, 12), ...counts];
}
