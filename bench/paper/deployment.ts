import { type Cluster, loadCluster, status } from "squall";
import { Child } from "../children.js";
import { type Design, type Mode, writeClusterFile } from "../cluster-file.js";
import type { RelayStart, Reordering, ReplicaStart, Settled } from "../commit/calls.js";
import { checkUnion } from "../commit/results.js";
import { type Usage, usageSince } from "../usage.js";
import type { ClientOutcome, ClientsStart, ClosedRun, OpenRun, Preparation } from "./calls.js";
import { encodeHistogram, figuresOf, mergeHistograms } from "./latencies.js";
import type { ProcessRecord, ProtocolName, Run, RunValues } from "./record.js";
import { type Reports, type Traffic, trafficSince } from "./traffic.js";

/** Clients are spread over so many processes, or over as many as a run asks for. */
export const clientProcesses = 4;
const startDelayMs = 30;
const runLimitMs = 120_000;
/** So that one session can have all outstanding that an experiment wants. */
const limits = { window: 1024 };
/** A process that waits for one of few cores is not one that has failed: with 300 clients on two cores it may wait for long. */
const patience = { syncTimeoutMs: 1_000, detectMs: 1_000, reconciliationTimeoutMs: 500 };
/**
 * Nothing goes by the clock more often than each second, so that what operations cost can be counted: SYNC's period is fixed, and so is
 * what is left of it when nothing runs.
 */
const rareTiming = { syncMinMs: 1_000, syncMaxMs: 1_000, syncEvery: 1 << 20, heartbeatMs: 1_000, detectMs: 10_000 };

export interface DeploymentOptions {
  protocol: ProtocolName;
  /** Of the protocol `speculative`; default "speculative", which is the paper's protocol. */
  mode?: Mode;
  /** Default 3; 1 for `unreplicated`. */
  replicas?: number;
  /** Default true. */
  packing?: boolean;
  /** How requests travel. Default: that of designOf. */
  design?: Design;
  /** With SYNC and heartbeats once a second. */
  rare?: boolean;
}

/** As in the paper: where the order of arrival matters and there are several clients, the network gives requests one order; Paxos has plain multicast. */
function designOf(protocol: ProtocolName): Design {
  return protocol === "speculative" || protocol === "fast-paxos" ? "serialized" : "multicast";
}

/** What a run says of itself, as the file has it. */
export type RunOutcome = Pick<Run, "values" | "processes" | "histogram" | "digestsAgree"> & {
  wrong: string[];
  failures: string[];
  /** Of each replica, during the run. */
  traffic?: Traffic[];
};

/** Replica processes and client processes of one protocol, all Node processes of their own on this machine. */
export class Deployment {
  private readonly clients: Child[] = [];

  private constructor(
    private readonly cluster: Cluster,
    private readonly file: string,
    private readonly replicas: Child[],
    private readonly relay: Child | undefined,
  ) {}

  static async start(folder: string, name: string, options: DeploymentOptions): Promise<Deployment> {
    const { protocol, packing, rare, design = designOf(protocol) } = options;
    const count = protocol === "unreplicated" ? 1 : (options.replicas ?? 3);
    const mode = protocol === "speculative" ? { mode: options.mode ?? "speculative" } : {};
    const timing = { ...patience, ...(rare && rareTiming) };
    const file = await writeClusterFile({
      ...{ folder, name, design, count, protocol, limits, timing, ...mode },
      ...(packing !== undefined && { packing }),
    });
    const machine = new URL("../machines/counter.js", import.meta.url).href;
    const relay = design === "serialized" ? new Child(new URL("../commit/relay-process.js", import.meta.url)) : undefined;
    await relay?.call("start", { cluster: file } satisfies RelayStart);
    const replicas = Array.from({ length: count }, () => new Child(new URL("../commit/replica-process.js", import.meta.url)));
    await Promise.all(replicas.map((replica, id) => replica.call("start", { cluster: file, id, machine } satisfies ReplicaStart)));
    const deployment = new Deployment(await loadCluster(file, { role: "operator" }), file, replicas, relay);
    await deployment.addClients(1);
    await deployment.addClients(clientProcesses);
    return deployment;
  }

  stop(): void {
    for (const child of [...this.clients, ...this.replicas, ...(this.relay ? [this.relay] : [])]) child.kill();
  }

  /** Until there are `count` client processes. The first one bootstraps the group. */
  private async addClients(count: number): Promise<void> {
    const added = Array.from(
      { length: Math.max(0, count - this.clients.length) },
      () => new Child(new URL("./client-process.js", import.meta.url)),
    );
    if (this.clients.length === 0) await added[0]!.call("bootstrap", { cluster: this.file } satisfies ClientsStart);
    this.clients.push(...added);
    await Promise.all(added.map((client) => client.call("start", { cluster: this.file } satisfies ClientsStart)));
  }

  /** Reorders requests at the replicas, independently of each other, until the next call. */
  async reorder(ppm: number, seed: number): Promise<void> {
    await Promise.all(this.replicas.map((child, id) => child.call("reorder", { ppm, seed: seed + id } satisfies Reordering)));
  }

  /** Closed loop: `clients` sessions with `window` outstanding each, spread evenly over `processes` client processes. */
  async closed(options: { clients: number; processes?: number; window?: number; bytes?: number; seconds: number }): Promise<RunOutcome> {
    const { clients, processes = clientProcesses, window = 1, bytes = 64, seconds } = options;
    await this.addClients(processes);
    const share = (index: number) => Math.floor((clients + processes - 1 - index) / processes);
    const used = this.clients.slice(0, Math.min(processes, clients));
    await Promise.all(used.map((client, index) => client.call("prepare", { sessions: share(index), open: false } satisfies Preparation)));
    return this.measure(used, (client, index, run) => {
      const request: ClosedRun = { sessions: share(index), window, bytes, seconds, ...run };
      return client.call<ClientOutcome>("closed", request, runLimitMs);
    });
  }

  /** Open loop: `opsPerSecond` operations on average, offered by all client processes together, whether earlier ones are answered or not. */
  async open(options: { opsPerSecond: number; seed: number; seconds: number; bytes?: number }): Promise<RunOutcome> {
    const { opsPerSecond, seed, seconds, bytes = 64 } = options;
    const used = this.clients.slice(0, clientProcesses);
    const mostOutstanding = limits.window;
    await Promise.all(used.map((client) => client.call("prepare", { sessions: 1, open: true } satisfies Preparation)));
    return this.measure(used, (client, index, run) => {
      const part = opsPerSecond / used.length;
      const request: OpenRun = { opsPerSecond: part, mostOutstanding, seed: seed * 100 + index, bytes, seconds, ...run };
      return client.call<ClientOutcome>("open", request, runLimitMs);
    });
  }

  /** What the replicas send and receive when nobody asks them anything. */
  async idle(seconds: number): Promise<Traffic[]> {
    const before = await this.reports();
    await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
    return trafficSince(before, await this.reports());
  }

  private async reports(): Promise<Reports> {
    return { atMs: performance.now(), replicas: await status({ cluster: this.cluster }) };
  }

  /** Of the replicas, then of the relay, if there is one. */
  private usages(): Promise<Usage[]> {
    const servers = this.relay ? [...this.replicas, this.relay] : this.replicas;
    return Promise.all(servers.map((server) => server.call<Usage>("usage")));
  }

  private async measure(
    used: readonly Child[],
    start: (client: Child, index: number, run: { base: number; startAtMs: number }) => Promise<ClientOutcome>,
  ): Promise<RunOutcome> {
    const base = await used[0]!.call<number>("read");
    const reports = await this.reports();
    const usages = await this.usages();
    const run = { base, startAtMs: Date.now() + startDelayMs };
    const outcomes = await Promise.all(used.map((client, index) => start(client, index, run)));
    const usagesAfter = await this.usages();
    const traffic = trafficSince(reports, await this.reports());
    const settled = await used[0]!.call<Settled>("settle");
    const serverUsages = usagesAfter.map((after, id) => usageSince(usages[id]!, after));
    return outcome(outcomes, serverUsages, traffic, settled);
  }
}

/** `servers`: the usage of the replicas, whose `traffic` is known, then that of the relay. */
function outcome(clients: readonly ClientOutcome[], servers: readonly Usage[], traffic: readonly Traffic[], settled: Settled): RunOutcome {
  const sum = (pick: (client: ClientOutcome) => number) => clients.reduce((total, client) => total + pick(client), 0);
  const operations = sum((client) => client.operations);
  const failed = sum((client) => client.failed);
  const record = (role: string, used: Usage, more: Partial<ProcessRecord>): ProcessRecord => ({
    role,
    cpuUsPerOp: (used.userUs + used.systemUs) / Math.max(1, operations),
    userUs: used.userUs,
    systemUs: used.systemUs,
    contextSwitchesVoluntary: used.voluntary,
    contextSwitchesInvoluntary: used.involuntary,
    ...more,
  });
  const replicaRecords = servers.slice(0, traffic.length).map((used, id) => {
    const { reconciliations: _, seconds: __, ...sent } = traffic[id]!;
    return record(`replica ${id}`, used, sent);
  });
  const relayRecords = servers.slice(traffic.length).map((used) => record("relay", used, {}));
  const processes = [...replicaRecords, ...relayRecords, ...clients.map((client, id) => record(`client ${id}`, client.usage, {}))];
  const histogram = mergeHistograms(clients.map((client) => client.histogram));
  const seen = clients.map((client) => client.seen);
  const wrong = [...clients.flatMap((client) => client.wrong), ...checkUnion(seen, operations, failed)];
  if (!settled.digestsAgree) wrong.push(`replicas differ: ${settled.differences}`);
  const busiestUs = Math.max(...replicaRecords.map((replica) => replica.cpuUsPerOp));
  return {
    values: {
      opsPerSecond: Math.round(sum((client) => client.opsPerSecond)),
      operations,
      failed,
      ...figuresOf(histogram),
      mismatches: sum((client) => client.mismatches),
      reconciliations: Math.max(...traffic.map((replica) => replica.reconciliations)),
      capacityOpsPerSecond: Math.round(1e6 / busiestUs),
      cpuUsPerOp: processes.reduce((total, process) => total + process.cpuUsPerOp, 0),
      ...openFigures(clients),
    },
    processes,
    histogram: encodeHistogram(histogram),
    digestsAgree: settled.digestsAgree,
    wrong,
    failures: clients.flatMap((client) => client.failures),
    traffic: [...traffic],
  };
}

/** How an open loop kept to its schedule. */
function openFigures(clients: readonly ClientOutcome[]): RunValues {
  if (clients[0]?.scheduled === undefined) return {};
  const sum = (pick: (client: ClientOutcome) => number | undefined) => clients.reduce((total, client) => total + (pick(client) ?? 0), 0);
  return {
    scheduled: sum((client) => client.scheduled),
    notOffered: sum((client) => client.notOffered),
    lateP50Us: Math.max(...clients.map((client) => client.lateP50Us ?? 0)),
  };
}
