/** What an experiment of the suite is made of; each is a module of experiments/. */
import type { Floor } from "../commit/floor.js";
import type { Deployment, DeploymentOptions, RunOutcome } from "./deployment.js";
import type { Lengths } from "./lengths.js";
import type { ExperimentName, FloorName, ProtocolName, Run, RunKey } from "./record.js";

export interface Context {
  readonly lengths: Lengths;
  readonly seed: number;
  /** The protocols that are compared. */
  readonly protocols: readonly ProtocolName[];
  /** Started at its first use and warmed up; lives as long as the stage. */
  deployment(options: DeploymentOptions): Promise<Deployment>;
  floor(name: FloorName): Promise<Floor>;
  /** A run of this suite, from the file where it was resumed. */
  recorded(experiment: ExperimentName, key: RunKey, round: number): Run | undefined;
}

/** Runs that share deployments: each round goes through the points, each point through its sides, so that compared runs follow each other. */
export interface Stage {
  rounds: number;
  /** For the estimate of the remaining time. */
  secondsPerRun: number;
  points: RunKey[][];
  /** The next stage uses the same deployments. */
  keepsDeployments?: boolean;
  run(context: Context, key: RunKey, round: number): Promise<RunOutcome>;
}

export interface Experiment {
  name: ExperimentName;
  /** One line. */
  description: string;
  stages(lengths: Lengths, protocols: readonly ProtocolName[]): Stage[];
}

/** The protocols that know groups of more than one replica. */
export function replicated(protocols: readonly ProtocolName[]): ProtocolName[] {
  return protocols.filter((protocol) => protocol !== "unreplicated");
}

/** One run for each protocol at each value of `name`. */
export function pointsOf<Name extends keyof RunKey>(protocols: readonly ProtocolName[], name: Name, values: readonly RunKey[Name][]) {
  return values.map((value) => protocols.map((protocol) => ({ protocol, [name]: value }) as RunKey));
}
