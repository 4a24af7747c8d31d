import { freePorts, randomMulticastGroup } from "../cluster-file.js";
import { compileFloor, Floor } from "../commit/floor.js";
import { temporaryFolder } from "../temporary-folder.js";
import { Deployment, type DeploymentOptions } from "./deployment.js";
import type { Context } from "./experiment.js";
import { type Lengths, lengthsOf } from "./lengths.js";
import { runText } from "./plan.js";
import type { ExperimentName, FloorName, Header, ProtocolName, Run, RunKey } from "./record.js";

const floorLifetimeSeconds = 4 * 3600;
const warmupClients = 16;

/** The processes of a stage, started when they are first needed, and the runs so far. */
export class SuiteContext implements Context {
  readonly lengths: Lengths;
  readonly seed: number;
  readonly protocols: readonly ProtocolName[];
  private readonly folder = temporaryFolder();
  private readonly deployments = new Map<string, Deployment>();
  private readonly floors = new Map<FloorName, Floor>();
  private readonly runs = new Map<string, Run>();
  private floorProgram: string | undefined;
  private started = 0;

  constructor(header: Header, runs: readonly Run[]) {
    this.lengths = lengthsOf[header.length];
    this.seed = header.seed;
    this.protocols = header.protocols;
    for (const run of runs) this.add(run);
  }

  add(run: Run): void {
    this.runs.set(runText(run.experiment, run.key, run.round), run);
  }

  recorded(experiment: ExperimentName, key: RunKey, round: number): Run | undefined {
    return this.runs.get(runText(experiment, key, round));
  }

  allRuns(): Run[] {
    return [...this.runs.values()];
  }

  async deployment(options: DeploymentOptions): Promise<Deployment> {
    const name = JSON.stringify(options);
    let deployment = this.deployments.get(name);
    if (deployment === undefined) {
      deployment = await Deployment.start(this.folder, `${++this.started}`, options);
      this.deployments.set(name, deployment);
      await deployment.closed({ clients: warmupClients, seconds: this.lengths.warmupSeconds });
    }
    return deployment;
  }

  async floor(name: FloorName): Promise<Floor> {
    let floor = this.floors.get(name);
    if (floor === undefined) {
      this.floorProgram ??= compileFloor(this.folder);
      const [port, leaderPort] = (await freePorts(2)) as [number, number];
      const where = { group: randomMulticastGroup(), port, lifetimeSeconds: floorLifetimeSeconds };
      floor =
        name === "floor-one-round-trip"
          ? await Floor.start(this.floorProgram, where)
          : await Floor.startTwoRoundTrips(this.floorProgram, { ...where, leaderPort });
      this.floors.set(name, floor);
    }
    return floor;
  }

  /** Stops the deployments: even when nobody asks them anything, replicas talk to each other. */
  stopDeployments(): void {
    for (const deployment of this.deployments.values()) deployment.stop();
    this.deployments.clear();
  }
}
