/** A replica of a state machine, in a Worker of its own or in this thread. */
import { channel } from "node:diagnostics_channel";
import { EventEmitter } from "node:events";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { lookUp } from "./config/addresses.js";
import { type ClusterSource, loadCluster } from "./config.js";
import type { Cluster, Durability } from "./config-types.js";
import type { ReplicaEvent } from "./data/events.js";
import { type DataDirectory, type LocalReplicaOptions, openLocalReplica } from "./data/local-replica.js";
import { makeMachine } from "./define-machine.js";
import { SquallError } from "./errors.js";
import type { Machine, MachineFactory } from "./machine.js";
import { checkAddress, checkInteger, checkOptions, describeValue } from "./options.js";
import { newStatusWords, type ReplicaProgress, type ReplicaReport, readProgress } from "./status.js";
import { checkWait, type WaitStrategy } from "./wait.js";
import { openWorkerReplica } from "./worker/worker-replica.js";

export interface ReplicaOptions {
  /** Cluster file (path or URL), its content, or a loaded cluster. */
  cluster: ClusterSource;
  /** The replica's index in the cluster. Not with `join`. */
  id?: number;
  /** Starts a blank replica at this address, for `reconfigure` to make it a member of the running cluster. */
  join?: { ip: string; port: number };
  /** For thread "worker": URL or path of a module whose default export is a machine or factory. For "main": either itself. */
  machine: string | URL | Machine | MachineFactory;
  /** Where replica and machine run. Default "worker": what the rest of the program does can't stall the group. */
  thread?: "worker" | "main";
  /** What outlasts the process; default: what the cluster file says. Replicas of one cluster must have it alike. */
  durability?: Durability;
  /** Where log, state and snapshots go: needed by durability "async" and "sync". Made if need be. */
  dataDirectory?: string;
  /** A damaged data directory is emptied, and the replica recovers from its peers. */
  repair?: boolean;
  /** What the replica's loop does while it waits for datagrams (docs/performance.md). Default "block". */
  wait?: WaitStrategy;
  /** Poisons each operation after its upcall, to find machines that keep it. */
  debug?: boolean;
}

/** Runs the replica: in this thread or behind a Worker. */
export interface ReplicaBackend {
  address: { ip: string; port: number };
  report(): Promise<ReplicaReport>;
  digest(): Promise<{ executed: number; digest: string }>;
  close(): Promise<void>;
}

const optionNames = ["cluster", "id", "join", "machine", "thread", "debug", "durability", "dataDirectory", "repair", "wait"];
const durabilities = ["memory", "async", "sync"];
const replicaChannel = channel("squall:replica");

/**
 * Starts a replica. It stays in RECOVERY until the cluster is bootstrapped. Rejects with INVALID_OPTION, UNKNOWN_OPTION,
 * THREAD_MISMATCH, MACHINE_INVALID, MACHINE_LOAD_FAILED, SECRET_MISSING, ADDRESS_IN_USE, ADDRESS_INVALID, NATIVE_MISSING,
 * RUNTIME_UNSUPPORTED, WORKER_FAILED, STORAGE_* (docs/durability.md), and with what loadCluster rejects with.
 */
export async function createReplica(options: ReplicaOptions): Promise<Replica> {
  checkOptions("createReplica", options, optionNames);
  const { thread = "worker", debug = false } = options;
  if (thread !== "worker" && thread !== "main") {
    throw new SquallError("INVALID_OPTION", `thread must be "worker" or "main"; it is ${describeValue(thread)}.`);
  }
  if (typeof debug !== "boolean") throw new SquallError("INVALID_OPTION", `debug must be true or false; it is ${describeValue(debug)}.`);
  const wait = checkWait(options.wait);
  const machine = checkThread(thread, options.machine);
  const join = checkPlace(options);
  const loaded = await loadCluster(options.cluster, { role: "replica" });
  const whole = { ...loaded, durability: options.durability ?? loaded.durability };
  const directory = checkDataDirectory(whole.durability, options);
  // Until it is a member it knows nobody but itself; the members will find it.
  const cluster = join === undefined ? whole : { ...whole, replicas: [{ ip: await lookUp(join.ip), port: join.port }] };
  const id = join === undefined ? checkInteger("id", options.id, 0, cluster.replicas.length - 1) : 0;
  const words = newStatusWords();
  const emitter = new EventEmitter();
  const place = { index: id, joining: join !== undefined };
  const onEvent = (event: ReplicaEvent): void => {
    if (event.type === "epoch-entered") {
      place.index = event.replica;
      place.joining = false;
    }
    if (replicaChannel.hasSubscribers) replicaChannel.publish({ cluster: Buffer.from(cluster.group).toString("hex"), ...event });
    try {
      emitter.emit("event", event);
    } catch (error) {
      // A listener's error must not unwind through the engine's upcall.
      queueMicrotask(() => {
        throw error;
      });
    }
  };
  const backend =
    "url" in machine
      ? await openWorkerReplica({ cluster, id, machineUrl: machine.url, debug, wait, words, directory, bindingPath: undefined }, onEvent)
      : await openMainReplica({ cluster, id, machine: machine.machine, debug, wait, words, directory, bindingPath: undefined, onEvent });
  return new Replica(place, cluster, words, emitter, backend);
}

/** A running replica; made by `createReplica`. */
export class Replica {
  /** Where it listens. */
  readonly address: { ip: string; port: number };
  readonly #place: { readonly index: number; readonly joining: boolean };
  readonly #cluster: Cluster;
  readonly #words: Float64Array;
  readonly #emitter: EventEmitter;
  readonly #backend: ReplicaBackend;
  #closing: Promise<void> | undefined;

  /** Use `createReplica`. */
  constructor(
    place: { readonly index: number; readonly joining: boolean },
    cluster: Cluster,
    words: Float64Array,
    emitter: EventEmitter,
    backend: ReplicaBackend,
  ) {
    this.#place = place;
    this.address = backend.address;
    this.#cluster = cluster;
    this.#words = words;
    this.#emitter = emitter;
    this.#backend = backend;
  }

  /** Its index among the members, which changes of the members may change; 0 while it waits to join. */
  get id(): number {
    return this.#place.index;
  }

  /** Whether it waits to become a member of a configuration. */
  get joining(): boolean {
    return this.#place.joining;
  }

  /** The cluster as loaded; may be passed as `cluster` elsewhere. */
  get cluster(): Cluster {
    return this.#cluster;
  }

  /** View, status, seqnos and counters, read from shared memory: costs the replica nothing, works while it is busy. */
  progress(): ReplicaProgress {
    return readProgress(this.#words);
  }

  /** The same as flat numbers, for metrics. */
  metrics(): Record<string, number> {
    const { counters, view, speculative, executed, committed, halted } = this.progress();
    const { dropped, ...plain } = counters;
    const drops = Object.fromEntries(Object.entries(dropped).map(([reason, count]) => [`dropped_${reason}`, count]));
    return { view, speculative, executed, committed, halted: halted ? 1 : 0, ...plain, ...drops };
  }

  /** The full report, with hashes and, if asked for, the digest. Rejects with CLOSED or WORKER_FAILED. */
  async status(options: { digest?: boolean } = {}): Promise<ReplicaReport> {
    checkOptions("status", options, ["digest"]);
    const report = await this.#open().report();
    if (options.digest === true) report.digest = (await this.#open().digest()).digest;
    return report;
  }

  /**
   * SHA-256 over the machine's state and the session table at the executed seqno, in hexadecimal: replicas that executed
   * the same have the same. The machine's `digest()` is used, else its `snapshot()`, which is hashed on another thread when
   * large. Rejects with CLOSED, WORKER_FAILED, or what the machine throws.
   */
  async digest(): Promise<string> {
    return (await this.#open().digest()).digest;
  }

  /** `event`: ReplicaEvent. Also published on the diagnostics channel "squall:replica". */
  on(name: "event", listener: (event: ReplicaEvent) => void): this {
    this.#emitter.on(name, listener);
    return this;
  }
  off(name: "event", listener: (event: ReplicaEvent) => void): this {
    this.#emitter.off(name, listener);
    return this;
  }

  /** Stops the replica and frees its port. Started again, it recovers from the others, or goes on from its data directory. Idempotent. */
  close(): Promise<void> {
    this.#closing ??= this.#backend.close();
    return this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #open(): ReplicaBackend {
    if (this.#closing !== undefined) throw new SquallError("CLOSED", `Replica ${this.id} is closed.`);
    return this.#backend;
  }
}

async function openMainReplica(options: LocalReplicaOptions): Promise<ReplicaBackend> {
  const local = await openLocalReplica(options);
  return {
    address: local.address(),
    report: async () => local.report(),
    digest: () => local.digest(),
    close: () => local.close(),
  };
}

/** The address at which it joins; undefined: it has an index in the cluster file. */
function checkPlace({ id, join }: ReplicaOptions): { ip: string; port: number } | undefined {
  if ((id === undefined) === (join === undefined)) {
    const given = id === undefined ? "neither is given" : "both are";
    throw new SquallError(
      "INVALID_OPTION",
      `A replica has either an id, its index in the cluster file, or join, the address at which it waits to become a member; ${given}.`,
    );
  }
  return join === undefined ? undefined : checkAddress("join", join);
}

function checkDataDirectory(
  durability: Durability,
  { dataDirectory, repair = false, durability: asked, join }: ReplicaOptions,
): DataDirectory | undefined {
  if (!durabilities.includes(durability)) {
    throw new SquallError("INVALID_OPTION", `durability must be "memory", "async" or "sync"; it is ${describeValue(asked)}.`);
  }
  if (typeof repair !== "boolean") throw new SquallError("INVALID_OPTION", `repair must be true or false; it is ${describeValue(repair)}.`);
  if (dataDirectory !== undefined && (typeof dataDirectory !== "string" || dataDirectory === "")) {
    throw new SquallError("INVALID_OPTION", `dataDirectory must be the path of a directory; it is ${describeValue(dataDirectory)}.`);
  }
  if (durability === "memory") {
    if (dataDirectory === undefined && !repair) return undefined;
    throw new SquallError(
      "INVALID_OPTION",
      'A data directory is of no use with durability "memory": set "durability" in the cluster file to "async" or "sync", or leave dataDirectory and repair out.',
    );
  }
  if (dataDirectory === undefined) {
    throw new SquallError("INVALID_OPTION", `Durability "${durability}" needs dataDirectory (--data): where state, log and snapshots go.`);
  }
  return { path: resolve(dataDirectory), repair, joins: join !== undefined };
}

function checkThread(thread: "worker" | "main", machine: unknown): { url: string } | { machine: Machine } {
  const isModule = typeof machine === "string" || machine instanceof URL;
  if (thread === "worker") {
    if (isModule) return { url: moduleUrl(machine) };
    if (machine === undefined || machine === null) {
      throw new SquallError("MACHINE_INVALID", "createReplica needs `machine`: the URL of a module whose default export is a machine.");
    }
    throw new SquallError(
      "THREAD_MISMATCH",
      'thread "worker" (the default) takes the URL or path of a machine module, e.g. new URL("./machine.js", import.meta.url); ' +
        'an object or function can\'t be handed to a Worker. Pass thread: "main" to run it in this thread.',
    );
  }
  if (isModule) {
    throw new SquallError(
      "THREAD_MISMATCH",
      'thread "main" takes a machine object or factory; import the module and pass its default export, or use thread: "worker".',
    );
  }
  return { machine: makeMachine(machine, "createReplica") };
}

function moduleUrl(machine: string | URL): string {
  if (machine instanceof URL) return machine.href;
  return /^(file|data|node):/.test(machine) ? machine : pathToFileURL(resolve(machine)).href;
}
