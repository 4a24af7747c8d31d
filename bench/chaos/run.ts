import { fileURLToPath } from "node:url";
import { Prng } from "../../dist/sim/prng.js";
import { Child } from "../children.js";
import { writeClusterFile } from "../cluster-file.js";
import type { Convergence } from "../convergence.js";
import { Progress } from "../progress.js";
import { ReplicaProcesses } from "../replica-processes.js";
import { temporaryFolder } from "../temporary-folder.js";
import type { ClientHistory, ClientStart, ExecutionsAnswer, ObserverStart, StatusAnswer } from "./calls.js";
import { FaultInjector, type FaultLog, sleep } from "./faults.js";
import { type Judgement, judge } from "./judge.js";
import { NamespaceNetwork } from "./namespaces.js";
import { loopbackNetwork, type Network } from "./network.js";
import { maxOperationsOfClient } from "./operations.js";
import { type FaultKind, networkFaults, planFaults } from "./plan.js";

export interface ChaosOptions {
  durationMs: number;
  seed: number;
  replicas: number;
  clients: number;
  /** Of all clients together. */
  opsPerSecond: number;
  namespaces: boolean;
  faults: readonly FaultKind[];
  /** Shows how far it is, on standard error. */
  progress: boolean;
}

export interface ChaosReport {
  seed: number;
  network: Network["kind"];
  replicas: number;
  clients: number;
  seconds: number;
  /** How often each kind of fault happened, and kills left out because too many replicas had not recovered. */
  faults: Record<string, number>;
  skippedKills: number;
  judgement: Judgement;
  failures: Record<string, number>;
  /** The group's view, and reconciliations and rolled back entries of the replica that had most, since its last start. */
  view: number;
  reconciliations: number;
  rolledBack: number;
  convergedAfterMs: number | undefined;
  digestsAgree: boolean;
  /** What is wrong; empty when all is well. */
  violations: string[];
  timeline: FaultLog[];
}

/** Load without faults before and after, so that something is there to lose and something must come back. */
const quietMs = 500;
const drainMs = 20_000;
const convergeMs = 30_000;
/** A run that hangs ends so long after its faults. */
const graceMs = 120_000;
const checkpointEvery = 4_096;
const bytesOfEntry = 1_024;

/** Replica and client processes under faults drawn from a seed, then the verdict on what clients saw. */
export async function runChaos(options: ChaosOptions): Promise<ChaosReport> {
  const folder = temporaryFolder();
  const stage: Stage = { now: "the group starts" };
  const watchdog = setTimeout(() => {
    console.error(`chaos: not over ${graceMs / 1000} s after its faults, while ${stage.now}; seed ${options.seed}`);
    process.exit(1);
  }, options.durationMs + graceMs);
  const network = options.namespaces ? new NamespaceNetwork(options.replicas) : await loopbackNetwork(options.replicas);
  try {
    return await new ChaosRun(options, folder, network, stage).run();
  } finally {
    clearTimeout(watchdog);
    network.close();
  }
}

/** What a run that hangs was about. */
interface Stage {
  now: string;
}

class ChaosRun {
  readonly #options: ChaosOptions;
  readonly #folder: string;
  readonly #network: Network;
  readonly #stage: Stage;

  constructor(options: ChaosOptions, folder: string, network: Network, stage: Stage) {
    this.#stage = stage;
    this.#options = options;
    this.#folder = folder;
    this.#network = network;
  }

  async run(): Promise<ChaosReport> {
    const { replicas: count, clients: clientCount } = this.#options;
    const cluster = await this.#writeCluster();
    const replicas = await ReplicaProcesses.start({
      cluster,
      count,
      machine: fileURLToPath(new URL("./machine.js", import.meta.url)),
      ...(this.#network.kind === "namespaces" && { launcher: (id: number) => this.#network.launcher(id)! }),
    });
    const observer = this.#child("./observer-process.js", this.#network.observerLauncher);
    const clients = Array.from({ length: clientCount }, () => this.#child("./client-process.js", this.#network.launcher(count)));
    try {
      await observer.call("bootstrap", { cluster } satisfies ObserverStart);
      await Promise.all(clients.map((client, index) => client.call("connect", this.#clientStart(cluster, index), 90_000)));
      return await this.#underFaults(replicas, observer, clients);
    } finally {
      for (const child of [...clients, observer]) child.kill();
      await replicas.killAll();
    }
  }

  async #underFaults(replicas: ReplicaProcesses, observer: Child, clients: Child[]): Promise<ChaosReport> {
    const { durationMs, seed, replicas: count } = this.#options;
    const kinds = this.#options.faults.filter((kind) => this.#network.cuttable || !networkFaults.includes(kind));
    const plan = planFaults(new Prng(seed, "faults"), kinds, count, durationMs);
    await Promise.all(clients.map((client) => client.call("begin")));
    await sleep(quietMs);
    const injector = new FaultInjector(replicas, this.#network, () => observer.call<StatusAnswer>("status"));
    const progress = this.#options.progress ? this.#showProgress(injector) : undefined;
    this.#stage.now = "faults are injected";
    await Promise.all([injector.run(plan, durationMs), sleep(durationMs)]);
    this.#stage.now = "clients wait for their last results";
    clearInterval(progress?.timer);
    progress?.bar.stop();

    const healedMs = performance.now();
    await sleep(quietMs);
    const histories = await Promise.all(clients.map((client) => client.call<ClientHistory>("finish", drainMs, 2 * drainMs)));
    this.#stage.now = "the replicas converge";
    const end = await observer.call<Convergence>("converge", convergeMs, 2 * convergeMs);
    const convergedAfterMs = end.converged ? performance.now() - healedMs : undefined;
    const executions = await observer.call<ExecutionsAnswer>("executions", clients.length);
    this.#stage.now = "the history is judged";
    const judgement = judge(histories, executions);
    const violations = [...judgement.violations, ...replicas.deaths];
    if (!end.converged) violations.push(`${convergeMs / 1000} s after the last fault: ${end.differences}`);
    const unanswered = histories.reduce((sum, history) => sum + history.unanswered, 0);
    if (unanswered > 0) violations.push(`${unanswered} operations were not answered within ${drainMs / 1000} s after the last fault`);
    const most = (pick: (report: NonNullable<StatusAnswer[number]>) => number) =>
      Math.max(0, ...end.reports.flatMap((report) => (report === undefined ? [] : [pick(report)])));
    return {
      seed,
      network: this.#network.kind,
      replicas: count,
      clients: clients.length,
      seconds: durationMs / 1000,
      faults: countBy(injector.log.map(({ kind }) => kind)),
      skippedKills: injector.skipped,
      judgement,
      failures: sumOf(histories.map((history) => history.failures)),
      view: most((report) => report.view),
      reconciliations: most((report) => report.counters.reconciliations),
      rolledBack: most((report) => report.counters.rolledBack),
      convergedAfterMs: convergedAfterMs === undefined ? undefined : Math.round(convergedAfterMs),
      digestsAgree: end.converged,
      violations,
      timeline: injector.log,
    };
  }

  #writeCluster(): Promise<string> {
    // Room for a run without any checkpoint; checkpoints are taken all the same.
    const expected = Math.ceil((this.#options.opsPerSecond * (this.#options.durationMs + drainMs)) / 1000);
    const logEntries = Math.max(1 << 16, 2 * expected);
    const limits = { logEntries, logBytes: Math.max(512 << 20, logEntries * bytesOfEntry), checkpointEvery };
    return writeClusterFile({ folder: this.#folder, name: "cluster", design: "unicast", replicas: this.#network.replicas, limits });
  }

  #clientStart(cluster: string, client: number): ClientStart {
    const { opsPerSecond, durationMs, clients, seed } = this.#options;
    const each = opsPerSecond / clients;
    const capacity = Math.min(maxOperationsOfClient, Math.ceil((1.5 * each * (durationMs + drainMs)) / 1000) + 1024);
    return { cluster, client, seed, opsPerSecond: each, capacity };
  }

  #child(module: string, launcher: string[] | undefined): Child {
    return new Child(new URL(module, import.meta.url), launcher === undefined ? {} : { launcher });
  }

  #showProgress(injector: FaultInjector): { bar: Progress; timer: NodeJS.Timeout } {
    const bar = new Progress(Math.ceil(this.#options.durationMs / 1000), `chaos, seed ${this.#options.seed}`);
    const show = () => {
      const last = injector.log.at(-1);
      bar.step(last === undefined ? "" : `${injector.log.length} faults, last: ${last.kind} ${last.replicas.join(", ")}`);
    };
    return { bar, timer: setInterval(show, 1000) };
  }
}

function countBy(names: readonly string[]): Record<string, number> {
  return sumOf(names.map((name) => ({ [name]: 1 })));
}

function sumOf(records: readonly Record<string, number>[]): Record<string, number> {
  const sum: Record<string, number> = {};
  for (const record of records) for (const [key, value] of Object.entries(record)) sum[key] = (sum[key] ?? 0) + value;
  return sum;
}
