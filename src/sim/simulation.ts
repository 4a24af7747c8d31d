/**
 * One seed: a cluster under a workload and faults (safety phase), then without faults until all agree and serve (liveness
 * phase). The oracles watch throughout; the linearizability checker judges what clients saw.
 */
import type { ClusterProtocol } from "../config-types.js";
import { ViewsPerEpoch } from "../control/membership.js";
import { ClientWord, type LoopPath, type NativeBinding, StatusWord } from "../data/binding.js";
import type { ReplicaEvent } from "../data/events.js";
import { ClientDriver } from "./client-driver.js";
import { SimulatedCluster } from "./cluster.js";
import { ReplicaCrashes } from "./crashes.js";
import { History, NEVER } from "./history.js";
import { checkLinearizability } from "./linearizability.js";
import { MembersOperator, newestMembers } from "./members.js";
import { Oracle, type Violation } from "./oracle.js";
import { cleanPath, drawPath, healAll, pathKey } from "./paths.js";
import { Prng } from "./prng.js";
import { type DrawnFaults, drawFaults, type FaultProfile, profileNamed } from "./profiles.js";
import { drawSchedule, type Schedule } from "./schedule.js";
import { demandsOf, ScriptPlayer } from "./scripts.js";
import { drawTiming } from "./timing.js";
import type { Trace } from "./trace.js";
import { planClients } from "./workload.js";

export interface SimulationOptions {
  binding: NativeBinding;
  /** An integer in [0, 2^53). */
  seed: number;
  /** Default "speculative". */
  protocol?: ClusterProtocol;
  /** 3, 5 or 7; 1 if unreplicated. */
  replicas: number;
  clients: number;
  operations: number;
  /** Name of a fault profile. */
  faults: string;
  /** Guard bits; test builds only. */
  guardsOff?: number;
  trace?: Trace;
  /** One byte of an operation at or after this index is changed, in a way that changes no result; for tests. */
  changedOperation?: number;
}

export interface SimulationResult {
  seed: number;
  parameters: { protocol: ClusterProtocol; replicas: number; clients: number; operations: number; faults: string; drawn: DrawnFaults };
  /** What happened to datagrams, as the hub counted it, and the episodes of the schedule. */
  faultsInjected: Record<string, number>;
  /** Operations of the well-behaved clients. */
  completed: number;
  unknown: number;
  refused: number;
  /** Reads answered without the log, and linearizable ones that had to be logged. */
  reads: number;
  readsLogged: number;
  reconciliations: number;
  /** Of the last epoch. */
  views: number;
  rolledBack: number;
  /** Views whose START-VIEW changed the log of some replica. */
  mergedUnequal: number;
  linearizable: boolean;
  converged: boolean;
  /** Oracle violations, the checker's failure, or why the run did not converge. */
  problems: string[];
  traceHash: string;
  virtualSeconds: number;
  wallMs: number;
  /** Events that the hub ran. */
  events: number;
}

const SCRIPT_STEP_US = 200;
const OPERATOR_STEP_US = 5_000;
const SETTLE_SLICE_US = 5_000;
/** Virtual time in which a healed cluster must have answered everything, and then agree and serve anew. */
const HEAL_LIMIT_US = 5_000_000;
const CONVERGE_LIMIT_US = 5_000_000;
/** A run that needs more events than this is thrashing. */
const EVENTS_PER_OPERATION = 1_000,
  EVENTS_BESIDES = 500_000;

export function simulate(options: SimulationOptions): SimulationResult {
  return new Simulation(options).run();
}

class Simulation {
  private readonly profile: FaultProfile;
  private readonly faults: DrawnFaults;
  private readonly oracle = new Oracle();
  private readonly history: History;
  private readonly cluster: SimulatedCluster;
  private readonly drivers: ClientDriver[];
  private readonly schedule: Schedule;
  private readonly crashes: ReplicaCrashes;
  private readonly operator: MembersOperator;
  private readonly chaosUs: number;
  private readonly changedViews = new Set<number>();
  /** The undisturbed paths of the chaos phase. */
  private readonly paths = new Map<number, LoopPath>();
  private readonly player: ScriptPlayer | undefined;
  private readonly problems: string[] = [];
  private readonly startedAt = performance.now();
  private events = 0;
  private started = false;
  private readonly protocol: ClusterProtocol;

  constructor(private readonly options: SimulationOptions) {
    const { seed, replicas, clients, operations } = options;
    this.protocol = options.protocol ?? "speculative";
    const prng = new Prng(seed, "simulation");
    const named = profileNamed(options.faults);
    this.profile = named.profile;
    const drawing = prng.split("faults");
    const leastUs = named.script === undefined ? 0 : demandsOf(named.script).leastUs;
    this.chaosUs = Math.max(leastUs, Math.round(operations * drawing.spread(...this.profile.paceUs)));
    this.faults = drawFaults(named, drawing, this.chaosUs, this.protocol === "speculative" ? replicas : undefined);
    const window = prng.split("window").pick([4, 16, 64]);
    const plans = planClients({
      prng: prng.split("workload"),
      clients,
      operations,
      adversaryOneIn: this.faults.adversaries ? this.profile.adversaryOneIn : 0,
      crashes: this.profile.kindChance > 0,
      startUs: BOOT_ALLOWANCE_US,
      chaosUs: this.chaosUs,
      window,
    });
    const planned = plans.reduce((sum, plan) => sum + plan.bursts.reduce((own, burst) => own + burst.operations, 0), 0);
    this.operator = new MembersOperator(
      options.binding,
      () => this.cluster,
      () => this.crashes,
      prng.split("operator"),
    );
    this.crashes = new ReplicaCrashes(
      () => this.cluster,
      (place) => this.operator.mayLose(place),
      prng.split("crashes"),
    );
    this.history = new History(planned + 2 * plans.length);
    this.cluster = new SimulatedCluster({
      binding: options.binding,
      seed,
      prng: prng.split("cluster"),
      oracle: this.oracle,
      replicas,
      spares: this.faults.changes > 0 ? SPARES : 0,
      plans,
      multicast: this.faults.multicast,
      operations: planned,
      timing: drawTiming(prng.split("timing"), this.faults.script !== undefined),
      window,
      protocol: this.protocol,
      mode: this.faults.mode,
      durability: this.faults.durability,
      diskSyncUs: this.faults.diskSyncUs,
      checkpointEvery: this.faults.checkpointEvery,
      guardsOff: options.guardsOff ?? 0,
      onEvent: (event, place) => this.onEvent(event, place),
      onCommitted: (place) => {
        this.player?.poll();
        this.crashes.reached(place);
      },
    });
    const { hub } = this.cluster;
    let order = 0;
    const context = {
      history: this.history,
      oracle: this.oracle,
      hub,
      trace: options.trace,
      changedOperation: options.changedOperation,
      readShare: prng.split("reads").pick(this.profile.readShares),
      tick: () => ++order,
    };
    this.drivers = plans.map((plan, index) => new ClientDriver(plan, this.cluster.clients[index]!, prng.split(`client ${index}`), context));
    this.drawPaths(prng.split("paths"));
    const ports = { replicas: this.cluster.replicaPorts, clients: this.cluster.clientPorts };
    const { script } = this.faults;
    if (script !== undefined) {
      this.player = new ScriptPlayer(script, hub, ports, (index) => this.cluster.progress(index), prng.split("script"), {
        leave: (index, view) => this.cluster.leave(index, view),
        kill: (index) => this.crashes.kill(index, false),
        restart: (index) => this.crashes.restart(index),
      });
    }
    this.schedule = drawSchedule({
      prng: prng.split("schedule"),
      profile: this.profile,
      faults: this.faults,
      ports,
      paths: this.paths,
      startUs: BOOT_ALLOWANCE_US,
      chaosUs: this.chaosUs,
      crashes: this.crashes,
      changeMembers: () => this.operator.change(this.options.trace),
    });
  }

  run(): SimulationResult {
    const { cluster, oracle } = this;
    const { hub } = cluster;
    let converged = false;
    try {
      hub.setDefaultPath(cleanPath);
      this.started = cluster.start(new Prng(this.options.seed, "life"));
      if (!this.started) this.problems.push("the cluster did not start on a network without faults");
      else if (this.chaos()) converged = this.heal() && this.converge();
      if (this.started) {
        const states = converged ? cluster.states() : [];
        const ordered = this.drivers.filter(({ plan, refused }) => plan.ordered && refused === 0).map(({ plan }) => plan.index);
        oracle.finish(this.history, ClientDriver.ID_OFFSET, new Set(ordered), states);
      }
      for (const violation of oracle.violations) this.problems.push(describeViolation(violation));
      const verdict = checkLinearizability(this.history);
      if (!verdict.linearizable) {
        const { object, operation, around } = verdict.failure!;
        this.problems.push(
          `not linearizable${verdict.decided ? "" : " (undecided at the limit of the search)"}: ${object}: ${operation}\n    ${around.join("\n    ")}`,
        );
      }
      return this.result(verdict.linearizable && oracle.violations.length === 0, converged);
    } finally {
      cluster.close();
    }
  }

  /** Workload and faults; false once an oracle has seen a violation. */
  private chaos(): boolean {
    const { hub } = this.cluster;
    this.disturb();
    const agenda: { atUs: number; act(): void }[] = this.schedule.events.map(({ atUs, what, apply }) => ({
      atUs,
      act: () => {
        this.options.trace?.(hub.nowUs(), `fault: ${what}`);
        apply(hub);
      },
    }));
    for (const driver of this.drivers) {
      for (const burst of driver.plan.bursts) agenda.push({ atUs: burst.atUs, act: () => driver.due(burst.operations) });
      if (driver.plan.crashAtUs !== undefined) agenda.push({ atUs: driver.plan.crashAtUs, act: () => this.crash(driver) });
    }
    if (this.player !== undefined) {
      for (let atUs = BOOT_ALLOWANCE_US; atUs < BOOT_ALLOWANCE_US + this.chaosUs; atUs += SCRIPT_STEP_US)
        agenda.push({ atUs, act: () => this.player?.step() });
      this.player.start();
    }
    if (this.faults.changes > 0) {
      for (let atUs = BOOT_ALLOWANCE_US; atUs < BOOT_ALLOWANCE_US + this.chaosUs; atUs += OPERATOR_STEP_US)
        agenda.push({ atUs, act: () => this.operator.step() });
    }
    agenda.sort((a, b) => a.atUs - b.atUs);
    for (const { atUs, act } of agenda) {
      if (!this.advanceTo(atUs)) return false;
      act();
    }
    return this.advanceTo(BOOT_ALLOWANCE_US + this.chaosUs);
  }

  /** What a crashed client leaves undone, another does. */
  private crash(driver: ClientDriver): void {
    this.drivers[0]!.due(driver.crash());
    for (const burst of driver.plan.bursts) {
      if (burst.atUs > driver.plan.crashAtUs!) this.drivers[0]!.due(burst.operations);
    }
  }

  private heal(): boolean {
    const { hub, replicaPorts, clientPorts } = this.cluster;
    this.options.trace?.(hub.nowUs(), "all faults end");
    this.player?.stop();
    this.operator.stop();
    healAll(hub, { replicas: replicaPorts, clients: clientPorts });
    if (this.cluster.disks) this.crashes.mend();
    this.crashes.mendMachines();
    hub.setMulticastSkew(0);
    const untilUs = hub.nowUs() + HEAL_LIMIT_US;
    while (this.drivers.some((driver) => !driver.idle)) {
      if (hub.nowUs() >= untilUs) {
        const stuck = this.drivers.filter((driver) => !driver.idle).map((driver) => driver.describe());
        this.problems.push(
          `operations are still open ${HEAL_LIMIT_US / 1e6} s after the faults ended: ${stuck.join("; ")}; ${this.cluster.disagreement() ?? "the replicas agree"}`,
        );
        return false;
      }
      if (!this.settle()) return false;
    }
    return true;
  }

  /** One new operation of every client that is left, and equal replicas. */
  private converge(): boolean {
    const { hub } = this.cluster;
    for (const driver of this.drivers) driver.due(1);
    const untilUs = hub.nowUs() + CONVERGE_LIMIT_US;
    for (;;) {
      if (!this.settle()) return false;
      const open = this.drivers.find((driver) => !driver.idle);
      const why = open === undefined ? this.cluster.disagreement() : open.describe();
      if (why === undefined) return true;
      if (hub.nowUs() >= untilUs) {
        this.problems.push(`not converged ${CONVERGE_LIMIT_US / 1e6} s after the last operation: ${why}`);
        return false;
      }
    }
  }

  private settle(): boolean {
    this.crashes.mendMachines();
    return this.advanceTo(this.cluster.hub.nowUs() + SETTLE_SLICE_US);
  }

  private advanceTo(atUs: number): boolean {
    const { hub } = this.cluster;
    if (atUs > hub.nowUs()) {
      const limit = EVENTS_BESIDES + EVENTS_PER_OPERATION * this.options.operations - this.events;
      const endAt = this.events + Math.max(1, limit);
      do {
        this.events += this.cluster.run(atUs, endAt - this.events);
        this.cluster.bury();
      } while (hub.nowUs() < atUs && this.events < endAt);
      if (hub.nowUs() < atUs) {
        this.problems.push(`${this.events} events for ${this.options.operations} operations: the group thrashes`);
        return false;
      }
    }
    return this.oracle.violations.length === 0;
  }

  private drawPaths(prng: Prng): void {
    const { replicaPorts, clientPorts } = this.cluster;
    for (const from of [...replicaPorts, ...clientPorts]) {
      for (const to of [...replicaPorts, ...clientPorts]) this.paths.set(pathKey(from, to), drawPath(this.faults, prng));
    }
  }

  private disturb(): void {
    const { hub } = this.cluster;
    if (this.faults.multicastSkewUs >= 0) {
      hub.setDefaultPath({ ...cleanPath, baseDelayUs: this.faults.baseDelayUs, jitterUs: this.faults.jitterUs });
      hub.setMulticastSkew(this.faults.multicastSkewUs);
    }
    for (const [key, path] of this.paths) hub.setPath(Math.floor(key / 65536), key % 65536, path);
  }

  private onEvent(event: ReplicaEvent, place: number): void {
    this.player?.poll();
    if (event.type === "installed" || event.type === "epoch-entered") this.crashes.reached(place);
    // A machine that is ill may be found out while a checkpoint is taken, too.
    // What was killed executes on until it is buried, heard by nobody.
    const ill = this.cluster.isDead(place) || this.cluster.machineOf(place)?.ill === true;
    if (event.type === "invariant-broken" && !(ill && event.message.startsWith("executed again")))
      this.oracle.violate(`invariant broken: ${event.message}`, place);
    else if (event.type === "machine-error" && !ill)
      this.oracle.violate(`the machine failed in ${event.upcall}: ${event.message}`, place, event.seqno);
    else if (this.started && event.type === "installed" && (event.rolledBack > 0 || event.installed > 0)) this.changedViews.add(event.view);
    if (this.options.trace !== undefined)
      this.options.trace(this.cluster.hub.nowUs(), `replica ${event.replica} at ${place}: ${JSON.stringify(event)}`);
  }

  private result(linearizable: boolean, converged: boolean): SimulationResult {
    const { options, cluster, history } = this;
    const { hub, buried } = cluster;
    const all = cluster.words();
    const sum = (word: number) => all.reduce((total, words) => total + words[word]!, 0);
    const most = (word: number) => all.reduce((largest, words) => Math.max(largest, words[word]!), 0);
    let completed = 0,
      unknown = 0;
    const honest = options.clients;
    for (let index = 0; index < history.count; index++) {
      if (history.client[index]! >= honest) continue;
      if (history.respondedAt[index] === NEVER) unknown++;
      else completed++;
    }
    for (const { readsIssued, readsCompleted } of this.drivers) {
      completed += readsCompleted;
      unknown += readsIssued - readsCompleted;
    }
    const clientSum = (word: number) => cluster.clients.reduce((total, client) => total + client.words[word]!, 0);
    return {
      seed: options.seed,
      parameters: {
        protocol: this.protocol,
        replicas: options.replicas,
        clients: options.clients,
        operations: options.operations,
        faults: options.faults,
        drawn: this.faults,
      },
      faultsInjected: {
        ...hub.counters(),
        ...this.schedule.counts,
        adversaries: this.drivers.length - honest,
        scripts: this.player?.played ?? 0,
        killed: this.crashes.killed,
        repairs: this.cluster.disks?.repairs ?? 0,
        epochs: newestMembers(cluster).epoch,
      },
      completed,
      unknown,
      refused: this.drivers.reduce((total, driver) => total + driver.refused, 0),
      reads: clientSum(ClientWord.Reads),
      readsLogged: clientSum(ClientWord.ReadsLogged),
      reconciliations: Math.max(buried.reconciliations, most(StatusWord.Reconciliations)),
      views: most(StatusWord.View) % ViewsPerEpoch,
      rolledBack: buried.rolledBack + sum(StatusWord.RolledBack),
      mergedUnequal: this.changedViews.size,
      linearizable,
      converged,
      problems: this.problems,
      traceHash: Buffer.from(hub.traceHash()).toString("hex"),
      virtualSeconds: hub.nowUs() / 1e6,
      wallMs: performance.now() - this.startedAt,
      events: this.events,
    };
  }
}

/** Places for replicas that may join. */
const SPARES = 4;
/** The chaos phase begins at this virtual time; bootstrap and sessions are done long before. */
const BOOT_ALLOWANCE_US = 100_000;

function describeViolation({ what, replica, seqno }: Violation): string {
  return `${replica === undefined ? "" : `replica ${replica}: `}${what}${seqno === undefined ? "" : ` (seqno ${seqno})`}`;
}
