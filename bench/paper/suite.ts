import { Progress } from "../progress.js";
import { SuiteContext } from "./context.js";
import { type PlannedRun, type PlannedStage, planOf } from "./plan.js";
import { type Header, keyText, type RecordWriter, type Run } from "./record.js";

/** For the estimate of the remaining time: what a run takes beside its own length, and a deployment to start and warm up. */
const secondsAroundRun = 0.3;
const secondsForDeployment = 2.5;

export interface SuiteOutcome {
  runs: Run[];
  /** What was wrong, with the run it was wrong in. */
  wrong: string[];
  failures: string[];
}

/** Runs what is not recorded yet, and writes each run as soon as it has come to its end. Ends early when a run is wrong. */
export async function runSuite(header: Header, recorded: readonly Run[], writer: RecordWriter, onlyRound?: number): Promise<SuiteOutcome> {
  const context = new SuiteContext(header, recorded);
  const stages = planOf(header).map((planned) => ({
    ...planned,
    runs: planned.runs.filter((run) => isDue(context, planned, run, onlyRound)),
  }));
  const progress = new Progress(
    stages.reduce((sum, stage) => sum + secondsOf(stage), 0),
    "paper",
    { remaining: true },
  );
  const wrong = recorded.flatMap((run) => describeWrong(run));
  const failures: string[] = [];
  try {
    for (const stage of stages) {
      if (stage.runs.length > 0 && wrong.length === 0) await runStage(stage, context, writer, progress, { wrong, failures });
      if (stage.stage.keepsDeployments !== true) context.stopDeployments();
    }
  } finally {
    progress.stop();
  }
  return { runs: context.allRuns(), wrong, failures };
}

async function runStage(
  planned: PlannedStage,
  context: SuiteContext,
  writer: RecordWriter,
  progress: Progress,
  found: { wrong: string[]; failures: string[] },
): Promise<void> {
  const { experiment, stage, runs } = planned;
  const share = secondsOf(planned) / runs.length;
  for (const { key, round } of runs) {
    const startedAt = new Date().toISOString();
    const { traffic: _, wrong, failures, ...outcome } = await stage.run(context, key, round);
    const run: Run = { kind: "run", experiment, key, round, startedAt, ...outcome, ...(wrong.length > 0 && { wrong }) };
    context.add(run);
    writer.write(run);
    found.failures.push(...failures);
    found.wrong.push(...describeWrong(run));
    progress.step(`${experiment} ${keyText(key)}`, share);
    if (found.wrong.length > 0) return;
  }
}

function isDue(context: SuiteContext, { experiment }: PlannedStage, { key, round }: PlannedRun, onlyRound?: number): boolean {
  return (onlyRound === undefined || round === onlyRound) && context.recorded(experiment, key, round) === undefined;
}

function secondsOf({ stage, runs }: PlannedStage): number {
  if (runs.length === 0) return 0;
  return runs.length * (stage.secondsPerRun + secondsAroundRun) + new Set(runs.map(({ key }) => key.protocol)).size * secondsForDeployment;
}

function describeWrong({ experiment, key, round, wrong, digestsAgree }: Run): string[] {
  const what = wrong ?? (digestsAgree ? [] : ["the replicas ended with different digests"]);
  return what.map((each) => `${experiment} ${keyText(key)}, round ${round}: ${each}`);
}
