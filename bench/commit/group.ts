import type { WaitStrategy } from "squall";
import { Child } from "../children.js";
import { type Design, type Mode, writeClusterFile } from "../cluster-file.js";
import { cpuTimesUs, since } from "../cpu-time.js";
import { mean } from "../statistics.js";
import type {
  AllocationResult,
  AllocationRun,
  ClientResult,
  ClientRun,
  ClientStart,
  Heap,
  RelayStart,
  Reordering,
  ReplicaStart,
  Settled,
} from "./calls.js";
import { checkUnion } from "./results.js";

export interface GroupOptions {
  folder: string;
  name: string;
  design: Design;
  clients: number;
  mode?: Mode;
  /** As in the cluster file. */
  protocol?: string;
  /** Command in front of Node, to pin the processes. */
  launcher?: string[];
  execArgv?: string[];
  /** Of the clients, and of the replicas. */
  wait?: WaitStrategy;
  replicaWait?: WaitStrategy;
}

/** The outcome of one run of one or several clients at once. */
export interface GroupRun {
  /** Sum over the clients. */
  opsPerSecond: number;
  operations: number;
  p50Us: number;
  p99Us: number;
  p999Us: number;
  failed: number;
  mismatches: number;
  /** Processor time for each operation: mean over the replicas, and over the clients. */
  replicaCpuUs: number;
  clientCpuUs: number;
  clients: ClientResult[];
}

/** Squall under test: three replica processes and some client processes, each a Node process of its own. */
export class Group {
  readonly cluster: string;
  readonly #replicas: Child[];
  readonly #clients: Child[];
  readonly #relay: Child | undefined;
  /** What was wrong with results, in any run. */
  readonly wrong: string[] = [];
  readonly failures: string[] = [];
  readonly commitLagsMs: number[] = [];
  last: Settled | undefined;

  private constructor(cluster: string, replicas: Child[], clients: Child[], relay: Child | undefined) {
    this.cluster = cluster;
    this.#replicas = replicas;
    this.#clients = clients;
    this.#relay = relay;
  }

  static async start(options: GroupOptions): Promise<Group> {
    const { wait, replicaWait = wait } = options;
    const cluster = await writeClusterFile(options);
    const child = (module: string) =>
      new Child(new URL(module, import.meta.url), {
        ...(options.launcher && { launcher: options.launcher }),
        ...(options.execArgv && { execArgv: options.execArgv }),
      });
    const machine = new URL("../machines/counter.js", import.meta.url).href;
    const relay = options.design === "serialized" ? child("./relay-process.js") : undefined;
    await relay?.call("start", { cluster } satisfies RelayStart);
    const replicas = [0, 1, 2].map(() => child("./replica-process.js"));
    await Promise.all(
      replicas.map((replica, id) =>
        replica.call("start", { cluster, id, machine, ...(replicaWait && { wait: replicaWait }) } satisfies ReplicaStart),
      ),
    );
    const clients = Array.from({ length: options.clients }, () => child("./client-process.js"));
    await clients[0]!.call("bootstrap", { cluster } satisfies ClientStart);
    await Promise.all(clients.map((client) => client.call("start", { cluster, ...(wait && { wait }) } satisfies ClientStart)));
    return new Group(cluster, replicas, clients, relay);
  }

  /** `clients` processes at once, each with `window` outstanding. Checks every result and waits until all is committed. */
  async run(clients: number, window: number, seconds: number): Promise<GroupRun> {
    const first = this.#clients[0]!;
    const base = await first.call<number>("read");
    const request: ClientRun = { window, seconds, base, startAtMs: Date.now() + 20 };
    const running = this.#clients.slice(0, clients);
    const { replicas } = this.processIds;
    const clientIds = running.map((client) => client.pid);
    const beforeUs = cpuTimesUs([...replicas, ...clientIds]);
    const results = await Promise.all(running.map((client) => client.call<ClientResult>("run", request)));
    const cpuUs = since(beforeUs, cpuTimesUs([...replicas, ...clientIds]));
    this.last = await first.call<Settled>("settle");
    const sum = (pick: (result: ClientResult) => number) => results.reduce((total, result) => total + pick(result), 0);
    const worst = (pick: (result: ClientResult) => number) => Math.max(...results.map(pick));
    const operations = sum((result) => result.operations);
    const run: GroupRun = {
      opsPerSecond: sum((result) => result.opsPerSecond),
      operations,
      replicaCpuUs: mean(cpuUs.slice(0, replicas.length)) / operations,
      clientCpuUs: mean(cpuUs.slice(replicas.length)) / (operations / clients),
      p50Us: worst((result) => result.p50Us),
      p99Us: worst((result) => result.p99Us),
      p999Us: worst((result) => result.p999Us),
      failed: sum((result) => result.failed),
      mismatches: sum((result) => result.mismatches),
      clients: results,
    };
    for (const result of results) {
      this.wrong.push(...result.wrong);
      this.failures.push(...result.failures);
    }
    this.wrong.push(
      ...checkUnion(
        results.map((result) => result.seen),
        run.operations,
        run.failed,
      ),
    );
    this.commitLagsMs.push(this.last.commitLagMs);
    if (!this.last.digestsAgree) this.wrong.push(`replicas differ: ${this.last.differences}`);
    return run;
  }

  allocate(run: AllocationRun): Promise<AllocationResult> {
    return this.#clients[0]!.call<AllocationResult>("allocate", run);
  }

  /** The replicas' heaps. */
  heaps(): Promise<Heap[]> {
    return Promise.all(this.#replicas.map((replica) => replica.call<Heap>("heap")));
  }

  /** Empties the young generations of replicas and clients; needs --expose-gc. */
  async collect(): Promise<void> {
    await Promise.all([...this.#replicas, ...this.#clients].map((child) => child.call("collect")));
  }

  /** Reorders requests at the replicas, independently of each other, until the next call. */
  async reorder(ppm: number, seed: number): Promise<void> {
    await Promise.all(this.#replicas.map((child, id) => child.call("reorder", { ppm, seed: seed + id } satisfies Reordering)));
  }

  get processIds(): { replicas: number[]; clients: number[] } {
    return { replicas: this.#replicas.map((child) => child.pid), clients: this.#clients.map((child) => child.pid) };
  }

  stop(): void {
    for (const child of [...this.#clients, ...this.#replicas, ...(this.#relay ? [this.#relay] : [])]) child.kill();
  }
}
