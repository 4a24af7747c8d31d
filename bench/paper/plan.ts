import type { Stage } from "./experiment.js";
import { experiments } from "./experiments/all.js";
import { lengthsOf } from "./lengths.js";
import { type ExperimentName, type Header, keyText, type RunKey } from "./record.js";

export interface PlannedRun {
  key: RunKey;
  round: number;
}

export interface PlannedStage {
  experiment: ExperimentName;
  stage: Stage;
  runs: PlannedRun[];
}

/** What to run, in this order: follows from the header alone. */
export function planOf({ plan, protocols, length }: Pick<Header, "plan" | "protocols" | "length">): PlannedStage[] {
  return plan.flatMap((experiment) =>
    experiments[experiment].stages(lengthsOf[length], protocols).map((stage) => {
      const rounds = Array.from({ length: stage.rounds }, (_, round) => round);
      return { experiment, stage, runs: rounds.flatMap((round) => stage.points.flat().map((key) => ({ key, round }))) };
    }),
  );
}

export function countRuns(stages: readonly PlannedStage[]): number {
  return stages.reduce((sum, { runs }) => sum + runs.length, 0);
}

/** Distinguishes every run of a file. */
export function runText(experiment: ExperimentName, key: RunKey, round: number): string {
  return `${experiment} ${round} ${keyText(key)}`;
}
