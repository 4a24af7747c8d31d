/** One replica in this thread: native engine, control plane and machine. Synchronous and without I/O, so that the simulator drives it too. */
import { createHash } from "node:crypto";
import { protocolRules } from "../config/protocols.js";
import type { Cluster } from "../config-types.js";
import { ControlPlane, type ControlPlaneConfig } from "../control/control-plane.js";
import type { ControlEvent } from "../control/data-plane.js";
import { type Configuration, formatAddress, portOf } from "../control/membership.js";
import type { Snapshot } from "../control/snapshot.js";
import { SquallError } from "../errors.js";
import { newStatusWords, type ReplicaReport } from "../status.js";
import { dropReasons, MessageType, type NativeAddress, type NativeReplicaEngine, ReplicaStatus, StatusWord } from "./binding.js";
import { configDigest, newBootId } from "./boot.js";
import { Bootstrapping } from "./bootstrapping.js";
import { detachableReplicaUpcalls } from "./detachable.js";
import { type ControlMemory, Persistence } from "./durability/persistence.js";
import type { StoredReplica } from "./durability/stored-replica.js";
import { endpointsOf } from "./endpoints.js";
import { Epochs } from "./epochs.js";
import type { ReplicaEvent } from "./events.js";
import { combineDigests, hex } from "./hashing.js";
import { MachineFaults } from "./machine-faults.js";
import { MachineHost } from "./machine-host.js";
import { ReplicaDataPlane } from "./replica-data-plane.js";
import { checkpointEvery, openReplicaEngine } from "./replica-engine.js";
import type { ReplicaHostOptions } from "./replica-host-options.js";
import { ReplicaObserver } from "./replica-observer.js";
import { describeReplica } from "./replica-report.js";
import { StatusAnswers } from "./status-answers.js";
import { TakeOver } from "./take-over.js";
import { newestWireVersion } from "./wire-version.js";

/** Operations of one batch upcall; a longer backlog is executed in several. */
const BatchRows = 1024;
const BatchArenaBytes = 256 * 1024;
/** Timers of the event loop count milliseconds and may fire a little early. */
const EarlyUs = 2_000;
/** How often a part of a snapshot in chunks is pulled. */
const PullEveryUs = 1_000;
const BadBodyWord = StatusWord.DropBase + dropReasons.indexOf("badBody");

export class ReplicaHost {
  readonly words: Float64Array;
  readonly machine: MachineHost;
  readonly engine: NativeReplicaEngine;
  readonly data: ReplicaDataPlane;
  control: ControlPlane;
  readonly #bootId: Uint8Array;
  #configDigest: Uint8Array;
  readonly #cluster: Cluster;
  readonly #bootstrapping: Bootstrapping;
  readonly #guardsOff: number;
  readonly epochs: Epochs;
  readonly #persistence: Persistence | undefined;
  readonly #faults: MachineFaults;
  /** While this replica joins an epoch. */
  #takeOver: TakeOver | undefined;
  /** The last checkpoint: a control plane of a new epoch begins with it. */
  #checkpoint: Snapshot | undefined;
  readonly #observer: ReplicaObserver;
  readonly #openedUs: number;
  readonly #statusAnswers: StatusAnswers;
  readonly #onEvent: (event: ReplicaEvent) => void;
  readonly #upcalls = detachableReplicaUpcalls({
    onExecute: (count) => (this.#broken === undefined ? this.machine.execute(count) : 0),
    onQuery: (count) => (this.#broken === undefined ? this.machine.query(count) : 0),
    onControl: (type, from, stream, body) => this.#onControl(type, from, stream, body),
    onComplaint: (session, seqno) => this.#onComplaint(session, seqno),
    onTick: (nowUs) => this.#onTick(nowUs),
    onAppended: () => this.#persistence?.durability.pump(),
  });
  #armedUs = Number.POSITIVE_INFINITY;
  #progressSeqno = 0;
  #broken: string | undefined;
  #closed = false;
  #storageLost = false;

  /** Opens the replica's endpoints. Throws ADDRESS_IN_USE, ADDRESS_INVALID, SECRET_MISSING or INVALID_OPTION. */
  constructor(options: ReplicaHostOptions) {
    const { cluster, id, onEvent } = options;
    const n = cluster.replicas.length;
    if (cluster.secret === undefined)
      throw new SquallError("SECRET_MISSING", "A replica needs the cluster's secret; the cluster file names it under `secretFile`.");
    if (!Number.isInteger(id) || id < 0 || id >= n) {
      throw new SquallError("INVALID_OPTION", `id must be a replica's index, 0 to ${n - 1}; it is ${String(id)}.`);
    }
    this.words = options.words ?? newStatusWords();
    this.#cluster = cluster;
    this.#guardsOff = options.binding.mutations ? (options.guardsOff ?? 0) : 0;
    this.#bootId = options.bootId ?? newBootId();
    this.#configDigest = configDigest(cluster);
    this.#onEvent = onEvent === undefined ? () => {} : (event) => onEvent({ ...event, replica: this.id });
    this.#statusAnswers = new StatusAnswers(
      cluster.datagramBytes,
      () => this.report(),
      () => this.digestNow(),
    );
    this.machine = new MachineHost({
      machine: options.machine,
      rows: options.batch?.rows ?? BatchRows,
      arenaBytes: cluster.limits.operationBytes + (options.batch?.arenaBytes ?? BatchArenaBytes),
      maxResultBytes: cluster.limits.operationBytes,
      debug: options.debug === true,
      onFailure: (failure) => {
        this.#faults.onFailure(failure);
        this.#arm();
      },
    });
    this.engine = openReplicaEngine(options, cluster.secret, this.words, this.machine, this.#upcalls.upcalls);
    this.data = new ReplicaDataPlane({
      binding: options.binding,
      engine: this.engine,
      machine: this.machine,
      words: this.words,
      logEntries: cluster.limits.logEntries,
      logBytes: cluster.limits.logBytes,
      checkpointEvery: checkpointEvery(options),
      hashInPlace: options.hashInPlace === true,
      hooks: {
        onInstalled: (view, rolledBack, installed) => this.#onInstalled(view, rolledBack, installed),
        onCheckpoint: (snapshot) => this.#onCheckpoint(snapshot),
        onCheckpointRefused: (seqno, error) => this.#onEvent({ type: "checkpoint-refused", replica: id, seqno, error }),
        onRestored: ({ seqno, machine, sessions }) =>
          this.#onEvent({ type: "restored", replica: id, seqno, bytes: machine.length + sessions.length }),
        onVerified: (snapshot, valid) =>
          this.#goOn((nowUs) => {
            this.epochs.onVerified(nowUs, snapshot, valid);
            (this.#takeOver ?? this.control).onVerified(nowUs, snapshot, valid);
          }),
        onHashed: (from, message) => this.#goOn((nowUs) => this.control.onHashed(nowUs, from, message)),
        onEvent: (event) => this.#onControlEvent(event),
        onFail: (message) => this.#fail(message),
      },
    });
    this.#bootstrapping = new Bootstrapping({
      engine: this.engine,
      id,
      replicas: n,
      bootId: this.#bootId,
      configDigest: this.#configDigest,
      lasts: () => this.data.viewDurable,
      begin: (lifeId, record) => void this.bootstrap(lifeId, record),
    });
    this.epochs = new Epochs({
      engine: this.engine,
      data: this.data,
      id,
      replicas: (options.endpoints ?? endpointsOf(cluster)).replicas,
      bootId: hex(this.#bootId),
      firstMode: protocolRules(cluster).epochMode,
      snapshots: checkpointEvery(options) > 0,
      largestBytes: cluster.limits.operationBytes,
      guardsOff: this.#guardsOff,
      host: {
        reconcile: (nowUs) => this.control.reconfigure(nowUs),
        entered: (configuration, replica, joins) => this.#onEntered(configuration, replica, joins),
        takeOver: (seqno) => this.#startTakeOver(seqno),
        takeOverFrom: (nowUs, snapshot, view) => this.#takeOverFrom(nowUs, snapshot, view),
        controlConfig: (configuration, replica) => this.#controlConfig(replica, configuration.members.length, configuration.epoch),
        chunkFor: (nowUs, from, message) => this.control.chunkFor(nowUs, from, message),
        silent: () => this.control.snapshot.unheard,
        answered: () => this.control.snapshot.recovery?.code !== "asking",
        retired: () => this.#retire(),
      },
    });
    this.control = this.#newControl();
    const { engine, data, machine } = this;
    this.#faults = new MachineFaults({ engine, data, machine, onEvent: this.#onEvent }, id, n);
    this.#persistence = options.stored && this.#newPersistence(options.stored);
    this.#observer = new ReplicaObserver(id, this.words, () => this.control.snapshot, this.#onEvent);
    this.#openedUs = this.engine.nowUs();
    this.#arm();
  }

  /** Its index in the present configuration. */
  get id(): number {
    return this.epochs.id;
  }
  get epoch(): number {
    return this.epochs.epoch;
  }
  get bootId(): Uint8Array {
    return this.#bootId;
  }
  get closed(): boolean {
    return this.#closed;
  }
  address(): NativeAddress {
    return this.engine.address();
  }

  /** With a data directory, right after the constructor: goes on from what was on disk. Throws STORAGE_CORRUPT. */
  begin(): void {
    this.#persistence?.begin(this.engine.nowUs());
    this.words[StatusWord.Incarnation] = this.control.snapshot.incarnation;
    this.#arm();
  }

  /** Enters NORMAL in view 0 of this life; false unless the replica is blank. `record` is what peers are told that missed it. */
  bootstrap(lifeId: Uint8Array, record?: Uint8Array): boolean {
    if (this.#closed || this.engine.lifeId() !== undefined || this.data.status !== ReplicaStatus.Recovery) return false;
    this.engine.bootstrap(lifeId);
    this.#bootstrapping.record = record;
    this.data.durability?.replaced(0);
    this.words[StatusWord.Incarnation] = this.control.snapshot.incarnation;
    this.#onEvent({ type: "bootstrapped", replica: this.id, lifeId: hex(lifeId) });
    this.control.onProgress(this.engine.nowUs());
    this.#arm();
    return true;
  }

  /** The report, without digest. */
  report(): ReplicaReport {
    return describeReplica({
      words: this.words,
      engine: this.#closed ? undefined : this.engine,
      control: this.control.snapshot,
      epochs: this.epochs,
      machine: this.machine,
      cluster: this.#cluster,
      configDigest: this.#configDigest,
      bootId: this.#bootId,
      openedUs: this.#openedUs,
      broken: this.#broken,
      persistence: this.#persistence,
    });
  }

  /** Digest of machine state and session table at `executed`, computed here and now. Throws what the machine throws. */
  digestNow(): Buffer {
    const state = this.machine.digestOrSnapshot();
    const stateDigest =
      state === undefined ? new Uint8Array(0) : "digest" in state ? state.digest : createHash("sha256").update(state.snapshot).digest();
    return combineDigests(stateDigest, this.engine.sessionDigest());
  }

  /** `done`: what was to go to disk is there. */
  close(done: (error?: Error) => void = () => {}): void {
    if (this.#closed) {
      done();
      return;
    }
    this.#closed = true;
    if (this.#persistence) this.#persistence.durability.close(done);
    else done();
    this.engine.close();
    this.#upcalls.detach();
    this.words[StatusWord.Status] = ReplicaStatus.Closed;
    this.#onEvent({ type: "closed", replica: this.id });
  }

  /** The process dies: nothing more reaches the disk. */
  abandon(): void {
    this.#persistence?.durability.abandon();
  }

  #onTick(nowUs: number): void {
    if (this.#stopped()) return;
    this.data.commitExecuted();
    this.data.keeper.work();
    this.control.onProgress(nowUs);
    if (nowUs >= this.#armedUs) {
      this.words[StatusWord.LoopDelayUs] = nowUs - this.#armedUs;
      this.#armedUs = Number.POSITIVE_INFINITY;
      if (this.#takeOver) this.#takeOver.onTimer(nowUs);
      else if (nowUs >= this.control.nextDeadlineUs()) this.control.onTimer(nowUs);
      this.#faults.onTimer(nowUs);
    } else if (this.#armedUs - nowUs < EarlyUs) {
      // This may have been the timer, fired a little early: it would not come again.
      this.engine.setTimer(this.#armedUs);
    }
    this.epochs.step(nowUs);
    if (this.#stopped()) return;
    this.#observer.observe(nowUs);
    this.#arm();
  }

  #onComplaint(session: number, seqno: number): void {
    if (this.#stopped()) return;
    const nowUs = this.engine.nowUs();
    this.control.onComplaint(nowUs, session, seqno);
    this.#observer.observe(nowUs);
    this.#arm();
  }

  #onControl(type: number, from: number, stream: number, body: Uint8Array): void {
    if (this.#closed) return;
    const nowUs = this.engine.nowUs();
    if (type === MessageType.StatusRequest)
      this.engine.sendToStream(stream, MessageType.StatusReply, this.#statusAnswers.answer(nowUs, body));
    if (this.#stopped()) return;
    switch (type) {
      case MessageType.StatusRequest:
        break;
      case MessageType.Fault:
        this.#faults.onMessage(nowUs, from, body);
        break;
      case MessageType.Reconfigure:
      case MessageType.NewLife: {
        const answer = type === MessageType.NewLife ? this.epochs.newLife(nowUs, body) : this.epochs.request(nowUs, body);
        this.engine.sendToStream(stream, MessageType.ReconfigureAnswer, Buffer.from(JSON.stringify(answer)));
        break;
      }
      case MessageType.NewEpoch:
        if (!this.epochs.onNewEpoch(nowUs, from, body)) (this.words[BadBodyWord] as number) += 1;
        break;
      case MessageType.FetchEpochState:
      case MessageType.EpochState:
        if (!this.epochs.onStateFrame(nowUs, type, body)) (this.words[BadBodyWord] as number) += 1;
        break;
      default:
        if (this.#bootstrapping.onFrame(type, from, stream, body)) break;
        this.epochs.onFrame(nowUs, from, type, body);
        if (!(this.#takeOver ?? this.control).onFrame(nowUs, from, type, body)) (this.words[BadBodyWord] as number) += 1;
    }
    if (this.#stopped()) return;
    this.epochs.step(nowUs);
    this.#observer.observe(nowUs);
    this.#arm();
  }

  #newControl(memory: ControlMemory = {}): ControlPlane {
    return new ControlPlane({ ...this.#controlConfig(), ...memory }, this.data);
  }

  #newPersistence(stored: StoredReplica): Persistence {
    const host = {
      control: () => this.control,
      newControl: (memory: ControlMemory) => {
        this.control = this.#newControl(memory);
      },
      event: (event: ReplicaEvent) => this.#onEvent(event),
      durable: () => this.#onDurable(),
      // What this replica would promise from now on would not last: it promises nothing.
      stop: () => {
        if (!this.#stopped()) this.engine.freeze(this.data.view);
        this.#storageLost = true;
      },
    };
    const { engine, data, words } = this;
    const largestOperationBytes = this.#cluster.limits.operationBytes;
    return new Persistence({ stored, engine, data, words, epochs: this.epochs, largestOperationBytes, guardsOff: this.#guardsOff, host });
  }

  #onDurable(): void {
    if (this.#stopped()) return;
    const nowUs = this.engine.nowUs();
    this.control.onDurable(nowUs);
    this.epochs.step(nowUs);
    this.#observer.observe(nowUs);
    this.#arm();
  }

  #controlConfig(replica = this.id, n = this.epochs.replicas.length, epoch = this.epoch): ControlPlaneConfig {
    return {
      replica,
      n,
      // A small log must be committed, and truncated, before it is full.
      timing: { ...this.#cluster.timing, syncEvery: Math.min(this.#cluster.timing.syncEvery, this.#cluster.limits.logEntries >> 3) },
      mode: protocolRules(this.#cluster).modes,
      bootId: this.#bootId,
      epoch,
      newestVersion: newestWireVersion(),
      reconfiguration: (nowUs) => this.epochs.reconfiguration(nowUs),
      guardsOff: this.#guardsOff,
    };
  }

  /** Another epoch, other peers: what knows them begins anew. */
  #onEntered({ epoch, members }: Configuration, replica: number, joins: boolean): void {
    this.control = this.#newControl();
    this.#faults.entered(replica, members.length);
    this.#takeOver = undefined;
    this.#configDigest = configDigest({ ...this.#cluster, replicas: members.map(({ address }) => ({ ip: "", port: portOf(address) })) });
    if (!joins && this.data.status === ReplicaStatus.Normal) {
      // The others, and those that join, need the state the epoch begins with.
      this.data.keeper.reset();
      this.data.commitExecuted();
      this.#beginControl();
    }
    this.#onEvent({ type: "epoch-entered", replica, epoch, members: members.map(({ address }) => formatAddress(address)), joins });
  }

  #beginControl(): void {
    const nowUs = this.engine.nowUs();
    this.words[StatusWord.Incarnation] = this.control.snapshot.incarnation;
    this.control.onProgress(nowUs);
    if (this.#checkpoint) this.control.onCheckpoint(nowUs, this.#checkpoint);
    this.engine.flush();
    this.#arm();
  }

  #startTakeOver(seqno: number): void {
    const nowUs = this.engine.nowUs();
    if (seqno === 0) return this.#tookOver(nowUs, undefined, 0);
    const done = (doneUs: number, snapshot: Snapshot, view: number) => this.#takeOverFrom(doneUs, snapshot, view);
    this.#takeOver = new TakeOver({ config: this.#controlConfig(), data: this.data, seqno, done });
    this.#arm();
  }

  #takeOverFrom(nowUs: number, snapshot: Snapshot, view: number): void {
    if (this.data.restore(snapshot)) this.#tookOver(nowUs, snapshot, view);
  }

  #tookOver(nowUs: number, snapshot: Snapshot | undefined, view: number): void {
    this.#takeOver = undefined;
    this.#checkpoint = snapshot;
    const inFirstView = this.epochs.takenOver(nowUs, view);
    this.#beginControl();
    if (!inFirstView) this.control.leave(nowUs, view);
  }

  #retire(): void {
    if (this.#closed) return;
    this.#onEvent({ type: "retired", replica: this.id, epoch: this.epoch });
    this.close();
  }

  #onInstalled(view: number, rolledBack: number, installed: number): void {
    this.#faults.installed();
    this.epochs.installed();
    this.#observer.installed(this.engine.nowUs(), view, rolledBack, installed);
  }

  #onControlEvent(event: ControlEvent): void {
    if (event.type === "recovered") {
      this.words[StatusWord.Incarnation] = event.incarnation;
      const durationMs = (this.engine.nowUs() - this.#openedUs) / 1000;
      this.#onEvent({ type: "recovery-finished", replica: this.id, view: this.data.view, incarnation: event.incarnation, durationMs });
    } else {
      this.#onEvent({ ...event, replica: this.id });
    }
  }

  #onCheckpoint(snapshot: Snapshot): void {
    this.#goOn((nowUs) => {
      this.#checkpoint = snapshot;
      this.control.onCheckpoint(nowUs, snapshot);
    });
  }

  /** Goes on with what was done on another thread meanwhile. */
  #goOn(action: (nowUs: number) => void): void {
    if (this.#stopped()) return;
    action(this.engine.nowUs());
    this.engine.flush();
    this.#arm();
  }

  #fail(message: string): void {
    if (this.#broken !== undefined) return;
    this.#broken = message;
    this.#faults.setHalted(true);
    this.#onEvent({ type: "invariant-broken", replica: this.id, message });
  }

  #stopped(): boolean {
    return this.#closed || this.#broken !== undefined || this.#storageLost;
  }

  #arm(): void {
    this.#persistence?.durability.pump();
    // Ticks cost a crossing each: asked for only where the control plane, or a commit that waits for execution, needs one.
    const { data } = this;
    const progressSeqno = data.executed < data.committed ? 0 : this.control.progressSeqno();
    if (progressSeqno !== this.#progressSeqno) {
      this.#progressSeqno = progressSeqno;
      this.engine.setProgressAt(progressSeqno);
    }
    // Whole microseconds, rounded up: a timer that came a fraction early would be set again for the same moment, for ever.
    const controlUs = this.#takeOver?.deadlineUs ?? this.control.nextDeadlineUs();
    let dueUs = Math.ceil(Math.min(controlUs, this.#faults.deadlineUs, this.epochs.deadlineUs));
    if (this.data.keeper.pulling) dueUs = Math.min(dueUs, Math.ceil(this.engine.nowUs()) + PullEveryUs);
    // An earlier timer that is on its way will find out.
    if (dueUs >= this.#armedUs) return;
    this.#armedUs = dueUs;
    this.engine.setTimer(dueUs);
  }
}
