/**
 * A whole cluster on the loop fabric: the shipped replica and client hosts on the ports of one hub, brought to life by the
 * same bootstrap messages as over sockets.
 */
import type { Cluster, ClusterMode, ClusterProtocol, ClusterTiming } from "../config-types.js";
import { portOf } from "../control/membership.js";
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
import { newestMembers } from "./members.js";
import { ModelMachine } from "./model-machine.js";
import type { Oracle } from "./oracle.js";
import type { Prng } from "./prng.js";
import type { StageReplica } from "./stage.js";
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
  /** Places for replicas that may join. */
  spares: number;
  plans: ClientPlan[];
  multicast: boolean;
  /** Operations of the run: the log must have room for them, their duplicates and the system's own. */
  operations: number;
  timing: ClusterTiming;
  window: number;
  protocol: ClusterProtocol;
  mode: ClusterMode;
  durability: "memory" | "sync";
  diskSyncUs: [number, number];
  /** 0: none in a run of this size. */
  checkpointEvery: number;
  guardsOff: number;
  /** `place`: the replica's port and machine, whatever index it has by now. */
  onEvent: (event: ReplicaEvent, place: number) => void;
  /** Within the commit, before the replica tells anybody. */
  onCommitted: (place: number) => void;
}

/**
 * Replicas are numbered by the place where they run: those that the cluster began with, then the spare ones. An index in a configuration
 * is another number.
 */

export class SimulatedCluster {
  readonly hub: NativeLoopHub;
  /** By place. */
  readonly replicaPorts: number[] = [];
  readonly clientPorts: number[] = [];
  private readonly hosts: (ReplicaHost | undefined)[] = [];
  private readonly machines: ModelMachine[] = [];
  readonly clients: ClientHost[] = [];
  /** What replicas counted that are gone. */
  readonly buried = { rolledBack: 0, reconciliations: 0 };
  /** Replicas whose disk failed: they promise nothing until they are started again. */
  readonly storageLost = new Set<number>();
  readonly disks: SimulatedDisks | undefined;
  /** Until then the hub runs, unless a disk is done before. */
  private runsToUs = 0;
  private readonly dead = new Set<number>();
  /** Dead ones of whose memory nothing, or not all, is on a disk. */
  private readonly forgotten = new Set<number>();
  private readonly rollbackTrace = new Float64Array(3);
  private readonly rollbackTraceBytes = new Uint8Array(this.rollbackTrace.buffer);
  readonly operatorPort: number;
  readonly cluster: Cluster;
  private readonly endpoints: Endpoints;

  constructor(private readonly options: ClusterOptions) {
    const { binding, seed, prng, replicas, spares, plans } = options;
    this.hub = new binding.LoopHub(seed >>> 0, Math.floor(seed / 2 ** 32));
    for (let i = 0; i < replicas + spares; i++) this.replicaPorts.push(this.hub.addPort());
    for (let i = 0; i < plans.length; i++) this.clientPorts.push(this.hub.addPort());
    this.operatorPort = this.hub.addPort();
    this.cluster = simulatedCluster(options);
    this.endpoints = {
      replicas: this.replicaPorts.slice(0, replicas).map((loop): NativeAddress => ({ loop })),
      design: options.multicast ? "multicast" : "unicast",
      ...(options.multicast ? { target: { loop: GROUP_PORT }, group: { loop: GROUP_PORT } } : {}),
    };
    // Who is blank, or no member any more, ignores requests.
    if (options.multicast) this.hub.setGroup(GROUP_PORT, this.replicaPorts);
    if (options.durability === "sync") {
      this.disks = new SimulatedDisks(
        prng.split("disks"),
        replicas + spares,
        () => this.hub.nowUs(),
        this.cluster.group,
        options.diskSyncUs,
        (completesUs) => {
          if (completesUs < this.runsToUs) this.hub.stop();
        },
      );
    }
    for (let place = 0; place < replicas; place++) this.openReplica(place, prng.split(`boot ${place}`));
    plans.forEach((plan, index) => {
      this.openClient(plan, index, prng.split(`client id ${index}`));
    });
  }

  private openReplica(place: number, prng: Prng, mayRepair = false): void {
    const { binding, oracle, guardsOff, onEvent, onCommitted, replicas } = this.options;
    const stored = this.disks?.open(place, mayRepair);
    const machine = new ModelMachine(
      oracle.witnessFor(place, () => {
        const host = this.hosts[place];
        if (host === undefined || host.closed) return undefined;
        return {
          logBase: () => host.words[StatusWord.LogBase]!,
          hashAt: (seqno) => host.engine.hashAt(seqno),
          suffixRows: (from, to) => host.engine.suffixRows(from, to),
        };
      }),
      { committed: () => onCommitted(place), rolledBack: (fromSeqno, toSeqno) => this.traceRollback(place, fromSeqno, toSeqno) },
    );
    this.machines[place] = machine;
    const member = place < replicas;
    const own: NativeAddress = { loop: this.replicaPorts[place]! };
    // Within its constructor nothing is upcalled, so that the witness never sees the host of before.
    this.hosts[place] = new ReplicaHost({
      binding: withGuards(binding, guardsOff),
      fabric: this.hub,
      loopPort: own.loop,
      // One that is to join knows nobody but itself.
      cluster: member ? this.cluster : { ...this.cluster, replicas: [{ ip: "127.0.0.1", port: own.loop }] },
      endpoints: member ? this.endpoints : { ...this.endpoints, replicas: [own] },
      id: member ? place : 0,
      machine,
      bootId: randomBytes(prng, ID_BYTES),
      hashInPlace: true,
      batch: { rows: BATCH_ROWS, arenaBytes: ARENA_BYTES },
      ...(stored === undefined ? {} : { stored }),
      onEvent: (event) => {
        if (event.type === "storage-failed" && event.fatal) this.storageLost.add(place);
        onEvent(event, place);
      },
      ...(guardsOff === 0 ? {} : { guardsOff }),
    });
    if (stored) this.hosts[place]!.begin();
  }

  /** Virtual time up to `atUs`, or fewer events than `most`; returns how many there were. */
  run(atUs: number, most: number): number {
    const { hub, disks } = this;
    if (!disks) return hub.run(atUs, most);
    let events = 0;
    for (;;) {
      const untilUs = Math.min(atUs, Math.max(hub.nowUs(), disks.nextUs));
      this.runsToUs = untilUs;
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

  diskOf(place: number): SimulatedDisk | undefined {
    return this.disks?.disks[place];
  }

  /** The machine at this place, if a replica runs there. */
  machineOf(place: number): ModelMachine | undefined {
    return this.host(place) && this.machines[place];
  }

  /** Whether the machine of a replica has failed alone, or will. */
  isIll(place: number): boolean {
    return this.isHalted(place) || this.machineOf(place)?.ill === true;
  }

  isHalted(place: number): boolean {
    return this.host(place)?.words[StatusWord.Halted] === 1;
  }

  /**
   * Kills a replica with its memory, also in the middle of one of its upcalls: what it sends from now on is lost. Its engine is
   * closed by bury(), between two runs of the hub.
   */
  crash(place: number, powerLoss = false): void {
    this.hub.setOpen(this.replicaPorts[place]!, false);
    if (!this.lasts(place)) this.forgotten.add(place);
    this.hosts[place]?.abandon();
    if (powerLoss) this.diskOf(place)?.powerLoss();
    else this.diskOf(place)?.processLoss();
    this.storageLost.delete(place);
    this.dead.add(place);
    this.hub.stop();
  }

  bury(): void {
    for (const place of this.dead) {
      const host = this.hosts[place]!;
      if (host.closed) continue;
      this.count(host);
      host.close();
    }
  }

  /** Starts a killed or retired replica again, or a spare one for the first time: a process that knows nothing but its disk. */
  restart(place: number, prng: Prng, mayRepair = false): void {
    this.bury();
    const before = this.hosts[place];
    if (before !== undefined && !this.dead.has(place)) this.count(before);
    this.dead.delete(place);
    this.forgotten.delete(place);
    this.hub.setOpen(this.replicaPorts[place]!, true);
    this.openReplica(place, prng, mayRepair);
  }

  private count(host: ReplicaHost): void {
    this.buried.rolledBack += host.words[StatusWord.RolledBack]!;
    this.buried.reconciliations = Math.max(this.buried.reconciliations, host.words[StatusWord.Reconciliations]!);
  }

  isDead(place: number): boolean {
    return this.dead.has(place);
  }

  /** Whether it is dead, and will not be what it was when it is started again. */
  isForgotten(place: number): boolean {
    return this.forgotten.has(place);
  }

  /** Whether all that this replica ever told others is on its disk. One that joins has told nothing yet, but its process is not to be another one. */
  lasts(place: number): boolean {
    const host = this.host(place);
    return (
      this.disks !== undefined && host !== undefined && host.words[StatusWord.Status] !== ReplicaStatus.Recovery && host.data.viewDurable
    );
  }

  /** The replica at this place, unless it is dead, retired or was never started. */
  host(place: number): ReplicaHost | undefined {
    const host = this.hosts[place];
    return host === undefined || host.closed || this.dead.has(place) ? undefined : host;
  }

  placeOf(address: NativeAddress): number {
    return this.replicaPorts.indexOf(portOf(address));
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
    const alive = () => this.hosts.every((host) => host?.words[StatusWord.Status] === ReplicaStatus.Normal);
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

  /** Of all replicas there ever were at their places; those of dead ones are as they died. */
  words(): Float64Array[] {
    return this.hosts.flatMap((host) => (host === undefined ? [] : [host.words]));
  }

  progress(place: number): StageReplica {
    const { words } = this.hosts[place]!;
    return {
      view: words[StatusWord.View]!,
      status: words[StatusWord.Status]!,
      mode: words[StatusWord.Mode]!,
      logEnd: words[StatusWord.LogEnd]!,
      committed: words[StatusWord.Committed]!,
    };
  }

  /** The replica gives up its view, as it may at any time; its next frame or timer has it go on. */
  leave(place: number, view: number): void {
    const host = this.host(place);
    host?.control.leave(this.hub.nowUs(), view - 1);
    host?.engine.flush();
  }

  /** What the machines hold, by place; of those that are not members undefined. */
  states(): (Uint8Array | undefined)[] {
    const members = new Set(newestMembers(this).places);
    return this.machines.map((machine, place) => (members.has(place) ? machine.state() : undefined));
  }

  /** Why the members do not agree yet; undefined once all are NORMAL in one view with one committed log and one state. */
  disagreement(): string | undefined {
    const { epoch, places } = newestMembers(this);
    for (const place of this.replicaPorts.keys()) {
      const host = this.host(place);
      if (host === undefined || places.includes(place)) continue;
      const status = host.words[StatusWord.Status]!;
      if (status !== ReplicaStatus.Recovery) return `the replica at ${place} is no member, and has status ${status} in epoch ${host.epoch}`;
    }
    const members = places.map((place) => this.host(place));
    const first = members[0];
    const logEnd = first?.words[StatusWord.LogEnd];
    for (const [index, host] of members.entries()) {
      const name = `replica ${index} at ${places[index]}`;
      if (host === undefined) return `${name} is dead`;
      if (host.epoch !== epoch || host.id !== index) return `${name} is replica ${host.id} of epoch ${host.epoch}, not ${epoch}`;
      const { words } = host;
      if (words[StatusWord.Status] !== ReplicaStatus.Normal) return `${name} has status ${words[StatusWord.Status]}`;
      for (const [what, word] of compared) {
        if (words[word] !== first!.words[word]) return `${name} has ${what} ${words[word]}, replica 0 ${first!.words[word]}`;
      }
      if (words[StatusWord.Committed] !== logEnd) return `${name} has committed ${words[StatusWord.Committed]} of ${logEnd}`;
      if (words[StatusWord.Executed] !== logEnd) return `${name} has executed ${words[StatusWord.Executed]} of ${logEnd}`;
    }
    for (const host of members.slice(1)) {
      if (Buffer.compare(host!.engine.hashAt(logEnd!), first!.engine.hashAt(logEnd!)) !== 0)
        return `replica ${host!.id} has another summary hash`;
      if (Buffer.compare(host!.digestNow(), first!.digestNow()) !== 0) return `replica ${host!.id} has another digest`;
    }
    return undefined;
  }

  close(): void {
    for (const client of this.clients) client.close();
    for (const host of this.hosts) host?.close();
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
  protocol,
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
    packing: true,
    protocol,
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
