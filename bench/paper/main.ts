import { existsSync } from "node:fs";
import { relative, resolve } from "node:path";
import { experiments } from "./experiments/all.js";
import { describeMachine, squallVersion } from "./machine.js";
import { countRuns, planOf } from "./plan.js";
import {
  type ExperimentName,
  experimentNames,
  type Header,
  type ProtocolName,
  protocolNames,
  RecordWriter,
  type Run,
  recordFormat,
} from "./record.js";
import { readForResume } from "./resume.js";
import { runSuite } from "./suite.js";
import { summarize } from "./summary.js";

const defaultSeed = 1;

export interface PaperOptions {
  experiments?: ExperimentName[];
  protocols?: ProtocolName[];
  quick: boolean;
  full: boolean;
  json: boolean;
  list: boolean;
  seed?: number;
  result?: string;
  resume?: string;
  round?: number;
}

/** Runs the suite. The exit status is 1 if a result was wrong or digests differed, never because a figure is low. */
export async function paper(options: PaperOptions): Promise<number> {
  if (options.list) return list(options);
  const { header, runs, writer } = open(options);
  const file = relative(process.cwd(), writer.file);
  const command = `npm run bench -- paper --resume ${file}`;
  // Before the one that ends this process and its children.
  for (const signal of ["SIGINT", "SIGTERM"] as const)
    process.once(signal, () => console.error(`\ninterrupted; what was measured is in ${file}. To go on: ${command}`));
  console.error(`result: ${file}, ${header.runs} runs${runs.length > 0 ? `, ${runs.length} of them done` : ""}`);

  const outcome = await runSuite(header, runs, writer, options.round);
  const whole = outcome.runs.length === header.runs;
  const summary = summarize(outcome.runs);
  if (whole) writer.write(summary);
  const { kind: _, ...fields } = summary;
  for (const [name, value] of Object.entries(fields)) console.log(`${name.padEnd(26)}${value}`);
  for (const failure of outcome.failures.slice(0, 5)) console.log(`not answered: ${failure}`);
  for (const what of outcome.wrong.slice(0, 10)) console.log(`WRONG: ${what}`);
  if (whole) await report(writer.file);
  if (options.json) console.log(JSON.stringify(fields));
  return outcome.wrong.length === 0 ? 0 : 1;
}

/** The file to write to: a new one, or one to go on with. */
function open(options: PaperOptions): { header: Header; runs: Run[]; writer: RecordWriter } {
  const given = options.resume ?? options.result;
  if (options.resume !== undefined && options.result !== undefined)
    throw new Error("--resume names the result already: leave --result out");
  if (options.resume !== undefined && !existsSync(options.resume)) throw new Error(`--resume: there is no file ${options.resume}`);
  if (given !== undefined && existsSync(given)) {
    if (options.resume === undefined && options.round === undefined)
      throw new Error(`${given} exists: go on with it by --resume ${given}, or name another --result`);
    const { header, runs } = readForResume(resolve(given), (had) => newHeader(options, had));
    return { header, runs, writer: RecordWriter.append(resolve(given)) };
  }
  const header = newHeader(options);
  const file = given ?? `bench-results/paper-${header.startedAt.slice(0, 19).replaceAll(":", "-")}.jsonl`;
  return { header, runs: [], writer: RecordWriter.create(resolve(file), header) };
}

/** What the options ask for; what they leave open is as in `had`. */
function newHeader(options: PaperOptions, had?: Header): Header {
  const length = options.quick ? "quick" : options.full ? "full" : (had?.length ?? "normal");
  const plan = options.experiments ?? had?.plan ?? [...experimentNames];
  const protocols = options.protocols ?? had?.protocols ?? [...protocolNames];
  return {
    kind: "header",
    format: recordFormat,
    suite: "paper",
    length,
    seed: options.seed ?? had?.seed ?? defaultSeed,
    startedAt: new Date().toISOString(),
    squall: squallVersion(),
    machine: describeMachine(),
    plan,
    protocols,
    runs: countRuns(planOf({ plan, protocols, length })),
  };
}

function list(options: PaperOptions): number {
  const { plan, protocols, length } = newHeader(options);
  const rows = plan.map((name) => {
    const stages = planOf({ plan: [name], protocols, length });
    const rounds = Math.max(0, ...stages.map(({ stage }) => stage.rounds));
    return { name, description: experiments[name].description, runs: countRuns(stages), rounds };
  });
  if (options.json) console.log(JSON.stringify({ length, protocols, experiments: rows }));
  else for (const { name, description, runs } of rows) console.log(`${name.padEnd(12)}${String(runs).padStart(5)} runs  ${description}`);
  return 0;
}

/** Writes the report beside the result. The result stands without it: the plotting library is there in a checkout only. */
async function report(file: string): Promise<void> {
  const html = file.replace(/(\.jsonl)?$/, ".html");
  try {
    const { writeReport } = await import("./report/report.js");
    await writeReport(file, html);
    console.log(`report: ${html}`);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const missing = `the packages vega and vega-lite are not installed; in a checkout \`npm run bench -- report ${file}\` writes it`;
    console.error(`no report: ${code === "ERR_MODULE_NOT_FOUND" ? missing : message}`);
  }
}
