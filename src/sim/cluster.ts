/**
 * A whole cluster on the loop fabric: the shipped replica and client hosts on the ports of one hub, brought to life by the
 * same bootstrap messages as over sockets.
 */
import type { Cluster, ClusterMode, ClusterTiming } from "../config-types.js";
import {
  type ClientEngineOptions,
  ClientState,
  type ClientUpcalls,
  Guard,
  MessageType,
  type NativeAddress,
  type NativeBinding,
  type NativeLoopHub,
  ReplicaStatus,
  StatusWord,
} from "../data/binding.js";
import { decodeBlank, encodeBootRecord } from "../data/boot.js";
import { ClientHost } from "../data/client-host.js";
import type { Endpoints } from "../data/endpoints.js";
import type { ReplicaEvent } from "../data/events.js";
import { ReplicaHost } from "../data/replica-host.js";
import type { SimulatedDisk } from "./disk.js";
import { SimulatedDisks } from "./disks.js";
import { ModelMachine } from "./model-machine.js";
import type { Oracle } from "./oracle.js";
import type { Prng } from "./prng.js";
import type { StageReplica } from "./scripts.js";
import type { ClientPlan, Misbehaviour } from "./workload.js";

/** The hub's ports for multicast groups start here. */
const GROUP_PORT = 0xf000;
const GROUP_BYTES = 8,
  SECRET_BYTES = 32,
  ID_BYTES = 16,
  CLIENT_ID_BYTES = 8;
/** Small, so that thousands of seeds are not spent on clearing memory. */
const BATCH_ROWS = 64,
  ARENA_BYTES = 32 * 1024;
const BOOT_RESEND_US = 5_000;
const BOOT_LIMIT_US = 2_000_000;

export interface ClusterOptions {
  binding: NativeBinding;
  seed: number;
  prng: Prng;
  oracle: Oracle;
  replicas: number;
  plans: ClientPlan[];
  multicast: boolean;
  /** Operations of the run: the log must have room for them, their duplicates and the system's own. */
  operations: number;
  timing: ClusterTiming;
  window: number;
  mode: ClusterMode;
  durability: "memory" | "sync";
  diskSyncUs: [number, number];
  /** 0: none in a run of this size. */
  checkpointEvery: number;
  guardsOff: number;
  onEvent: (event: ReplicaEvent) => void;
  /** Within the commit, before the replica tells anybody. */
  onCommitted: (replica: number) => void;
}

export class SimulatedCluster {
  readonly hub: NativeLoopHub;
  readonly replicaPorts: number[] = [];
  readonly clientPorts: number[] = [];
  readonly hosts: ReplicaHost[] = [];
  readonly machines: ModelMachine[] = [];
  readonly clients: ClientHost[] = [];
  /** What replicas counted that are gone. */
  readonly buried = { rolledBack: 0, reconciliations: 0 };
  /** Replicas whose disk failed: they promise nothing until they are started again. */
  readonly storageLost = new Set<number>();
  readonly disks: SimulatedDisks | undefined;
  private readonly dead = new Set<number>();
  private readonly rollbackTrace = new Float64Array(3);
  private readonly rollbackTraceBytes = new Uint8Array(this.rollbackTrace.buffer);
  private readonly operatorPort: number;
  private readonly cluster: Cluster;
  private readonly endpoints: Endpoints;

  constructor(private readonly options: ClusterOptions) {
    const { binding, seed, prng, replicas, plans } = options;
    this.hub = new binding.LoopHub(seed >>> 0, Math.floor(seed / 2 ** 32));
    for (let i = 0; i < replicas; i++) this.replicaPorts.push(this.hub.addPort());
    for (let i = 0; i < plans.length; i++) this.clientPorts.push(this.hub.addPort());
    this.operatorPort = this.hub.addPort();
    this.cluster = simulatedCluster(options);
    this.endpoints = {
      replicas: this.replicaPorts.map((loop): NativeAddress => ({ loop })),
      design: options.multicast ? "multicast" : "unicast",
      ...(options.multicast ? { target: { loop: GROUP_PORT } } : {}),
    };
    if (options.multicast) this.hub.setGroup(GROUP_PORT, this.replicaPorts);
    if (options.durability === "sync")
      this.disks = new SimulatedDisks(prng.split("disks"), replicas, () => this.hub.nowUs(), this.cluster.group, options.diskSyncUs);
    for (let id = 0; id < replicas; id++) this.openReplica(id, prng.split(`boot ${id}`));
    plans.forEach((plan, index) => {
      this.openClient(plan, index, prng.split(`client id ${index}`));
    });
  }

  private openReplica(id: number, prng: Prng, mayRepair = false): void {
    const stored = this.disks?.open(id, mayRepair);
    const { binding, oracle, guardsOff, onEvent, onCommitted } = this.options;
    const machine = new ModelMachine(
      oracle.witnessFor(id, () => {
        const host = this.hosts[id];
        if (host === undefined || host.closed) return undefined;
        return {
          logBase: () => host.words[StatusWord.LogBase]!,
          hashAt: (seqno) => host.engine.hashAt(seqno),
          suffixRows: (from, to) => host.engine.suffixRows(from, to),
        };
      }),
      { committed: () => onCommitted(id), rolledBack: (fromSeqno, toSeqno) => this.traceRollback(id, fromSeqno, toSeqno) },
    );
    this.machines[id] = machine;
    // Within its constructor nothing is upcalled, so that the witness never sees the host of before.
    this.hosts[id] = new ReplicaHost({
      binding: withGuards(binding, guardsOff),
      fabric: this.hub,
      loopPort: this.replicaPorts[id]!,
      cluster: this.cluster,
      endpoints: this.endpoints,
      id,
      machine,
      bootId: randomBytes(prng, ID_BYTES),
      hashInPlace: true,
      batch: { rows: BATCH_ROWS, arenaBytes: ARENA_BYTES },
      ...(stored === undefined ? {} : { stored }),
      onEvent: (event) => {
        if (event.type === "storage-failed" && event.fatal) this.storageLost.add(id);
        onEvent(event);
      },
      ...(guardsOff === 0 ? {} : { guardsOff }),
    });
    if (stored) this.hosts[id]!.begin();
  }

  /** Virtual time up to `atUs`, or fewer events than `most`; returns how many there were. */
  run(atUs: number, most: number): number {
    const { hub, disks } = this;
    if (!disks) return hub.run(atUs, most);
    let events = 0;
    for (;;) {
      const untilUs = Math.min(atUs, Math.max(hub.nowUs(), disks.nextUs));
      if (hub.nowUs() < untilUs) events += hub.run(untilUs, most - events);
      this.bury();
      if (hub.nowUs() < untilUs) return events;
      if (disks.nextUs > hub.nowUs()) {
        if (hub.nowUs() >= atUs) return events;
        continue;
      }
      disks.runDue();
      events++;
      this.bury();
    }
  }

  diskOf(id: number): SimulatedDisk | undefined {
    return this.disks?.disks[id];
  }

  /**
   * Kills a replica with its memory, also in the middle of one of its upcalls: what it sends from now on is lost. Its engine is
   * closed by bury(), between two runs of the hub.
   */
  crash(id: number, powerLoss = false): void {
    this.hub.setOpen(this.replicaPorts[id]!, false);
    this.hosts[id]!.abandon();
    if (powerLoss) this.diskOf(id)?.powerLoss();
    else this.diskOf(id)?.processLoss();
    this.storageLost.delete(id);
    this.dead.add(id);
    this.hub.stop();
  }

  bury(): void {
    for (const id of this.dead) {
      const host = this.hosts[id]!;
      if (host.closed) continue;
      this.buried.rolledBack += host.words[StatusWord.RolledBack]!;
      this.buried.reconciliations = Math.max(this.buried.reconciliations, host.words[StatusWord.Reconciliations]!);
      host.close();
    }
  }

  /** Starts a killed replica again, as a process that knows nothing but its disk. */
  restart(id: number, prng: Prng, mayRepair: boolean): void {
    this.bury();
    this.dead.delete(id);
    this.hub.setOpen(this.replicaPorts[id]!, true);
    this.openReplica(id, prng, mayRepair);
  }

  /** Replicas that are dead or have not got their memory back. */
  get lost(): number {
    return this.hosts.filter((host) => this.dead.has(host.id) || host.words[StatusWord.Status] === ReplicaStatus.Recovery).length;
  }
  isDead(id: number): boolean {
    return this.dead.has(id);
  }

  /** The engines trace frames, executions, commits and results; a rollback is between the hosts and the machine. */
  private traceRollback(replica: number, fromSeqno: number, toSeqno: number): void {
    this.rollbackTrace[0] = replica;
    this.rollbackTrace[1] = fromSeqno;
    this.rollbackTrace[2] = toSeqno;
    this.hub.trace(this.rollbackTraceBytes);
  }

  private openClient(plan: ClientPlan, index: number, prng: Prng): void {
    const { binding, guardsOff } = this.options;
    this.clients.push(
      new ClientHost({
        binding: plan.misbehave === "none" ? binding : withMisbehaviour(binding, plan.misbehave),
        fabric: this.hub,
        loopPort: this.clientPorts[index]!,
        cluster: this.cluster,
        endpoints: this.endpoints,
        clientId: randomBytes(prng, CLIENT_ID_BYTES),
        ordered: plan.ordered,
        arenaBytes: ARENA_BYTES,
        ...(guardsOff === 0 ? {} : { guardsOff }),
      }),
    );
  }

  /** View 0 by the operator's messages, then every client's session. Returns false if that takes too long. */
  start(prng: Prng): boolean {
    const { binding, replicas } = this.options;
    const lifeId = randomBytes(prng, ID_BYTES);
    const bootIds: (Uint8Array | undefined)[] = new Array<undefined>(replicas).fill(undefined);
    const tool = new binding.ToolEngine(
      {
        fabric: this.hub,
        loopPort: this.operatorPort,
        group: this.cluster.group,
        role: "operator",
        id: randomBytes(prng, CLIENT_ID_BYTES),
        key: this.cluster.secret!,
        replicas: this.endpoints.replicas,
        sealed: this.cluster.sealed,
        datagramBytes: this.cluster.datagramBytes,
      },
      (type, from, body) => {
        if (type === MessageType.Blank) bootIds[from] = decodeBlank(body)?.bootId;
      },
    );
    const alive = () => this.hosts.every((host) => host.words[StatusWord.Status] === ReplicaStatus.Normal);
    while (!alive() && this.hub.nowUs() < BOOT_LIMIT_US) {
      const known = bootIds.filter((id) => id !== undefined);
      const all = known.length === replicas;
      const record = all ? encodeBootRecord({ lifeId, bootIds: known }) : new Uint8Array(0);
      for (let replica = 0; replica < replicas; replica++)
        tool.send(replica, all ? MessageType.BootstrapCommit : MessageType.BootstrapPrepare, record);
      this.run(this.hub.nowUs() + BOOT_RESEND_US, Number.MAX_SAFE_INTEGER);
    }
    tool.close();
    for (const client of this.clients) client.start();
    const ready = () => this.clients.every((client) => client.state === ClientState.Ready);
    while (!ready() && this.hub.nowUs() < BOOT_LIMIT_US) this.run(this.hub.nowUs() + 1_000, Number.MAX_SAFE_INTEGER);
    return ready();
  }

  word(replica: number, word: number): number {
    return this.hosts[replica]!.words[word]!;
  }

  progress(replica: number): StageReplica {
    const { words } = this.hosts[replica]!;
    return {
      view: words[StatusWord.View]!,
      status: words[StatusWord.Status]!,
      logEnd: words[StatusWord.LogEnd]!,
      committed: words[StatusWord.Committed]!,
    };
  }

  /** Why the replicas do not agree yet; undefined once all are NORMAL in one view with one committed log and one state. */
  disagreement(): string | undefined {
    const first = this.hosts[0]!;
    const logEnd = this.word(0, StatusWord.LogEnd);
    for (const host of this.hosts) {
      const status = this.word(host.id, StatusWord.Status);
      if (status !== ReplicaStatus.Normal) return `replica ${host.id} has status ${status}`;
      for (const [name, word] of compared) {
        if (this.word(host.id, word) !== this.word(0, word))
          return `replica ${host.id} has ${name} ${this.word(host.id, word)}, replica 0 ${this.word(0, word)}`;
      }
      if (this.word(host.id, StatusWord.Committed) !== logEnd)
        return `replica ${host.id} has committed ${this.word(host.id, StatusWord.Committed)} of ${logEnd}`;
      if (this.word(host.id, StatusWord.Executed) !== logEnd)
        return `replica ${host.id} has executed ${this.word(host.id, StatusWord.Executed)} of ${logEnd}`;
    }
    for (const host of this.hosts.slice(1)) {
      if (Buffer.compare(host.engine.hashAt(logEnd), first.engine.hashAt(logEnd)) !== 0)
        return `replica ${host.id} has another summary hash`;
      if (Buffer.compare(host.digestNow(), first.digestNow()) !== 0) return `replica ${host.id} has another digest`;
    }
    return undefined;
  }

  close(): void {
    for (const client of this.clients) client.close();
    for (const host of this.hosts) host.close();
  }
}

const compared: [string, number][] = [
  ["view", StatusWord.View],
  ["last normal view", StatusWord.LastNormalView],
  ["mode", StatusWord.Mode],
  ["log end", StatusWord.LogEnd],
];

/** Without the operation's bytes in the log's hash, the control plane must leave them out too: it computes the same chain. */
function withGuards(binding: NativeBinding, guardsOff: number): NativeBinding {
  if ((guardsOff & Guard.HashOperation) === 0) return binding;
  const summaryHash = (previous: Uint8Array, record: Uint8Array) => binding.summaryHash(previous, record.subarray(0, RECORD_HEADER_BYTES));
  return Object.create(binding, { summaryHash: { value: summaryHash } }) as NativeBinding;
}

/** A request's inner bytes up to the operation (native/wire/records.h). */
const RECORD_HEADER_BYTES = 40;

/** The adversaries' native option goes in where the engine is made, so that the shipped host need not know of it. */
function withMisbehaviour(binding: NativeBinding, misbehave: Misbehaviour): NativeBinding {
  function MisbehavingClient(options: ClientEngineOptions, upcalls: ClientUpcalls) {
    return new binding.ClientEngine({ ...options, misbehave } as ClientEngineOptions, upcalls);
  }
  return Object.create(binding, { ClientEngine: { value: MisbehavingClient } }) as NativeBinding;
}

function simulatedCluster({
  prng,
  replicas,
  operations,
  timing,
  window,
  plans,
  mode,
  durability,
  checkpointEvery,
}: ClusterOptions): Cluster {
  const keys = prng.split("keys");
  return {
    file: undefined,
    group: randomBytes(keys, GROUP_BYTES),
    replicas: Array.from({ length: replicas }, (_, id) => ({ ip: "127.0.0.1", port: 1 + id })),
    network: { design: "unicast" },
    secret: randomBytes(keys, SECRET_BYTES),
    clientKey: undefined,
    sealed: true,
    datagramBytes: 1_400,
    mode,
    durability,
    limits: {
      operationBytes: 8_192,
      window,
      sessions: 4 * plans.length,
      // Truncated entries free their places; a log that is full in a run of this size is a fault of its own.
      logEntries: checkpointEvery === 0 ? 4 * operations + 4_096 : 4 * checkpointEvery + 2_048,
      logBytes: 64 * 2 ** 20,
      checkpointEvery: checkpointEvery === 0 ? operations + 1_024 : checkpointEvery,
      prepareBatch: 64,
      clockSkewMs: 500,
      queue: 1,
    },
    timing,
  };
}

export function randomBytes(prng: Prng, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let i = 0; i < length; i++) bytes[i] = prng.u32() & 255;
  return bytes;
}
