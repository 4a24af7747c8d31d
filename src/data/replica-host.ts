/**
 * One replica in this thread: the native engine, the control plane and the machine, wired together. Synchronous and
 * without I/O of its own, so that the simulator drives it over the loop as the sockets do.
 */
import { createHash } from "node:crypto";
import type { Cluster } from "../config-types.js";
import { ControlPlane } from "../control/control-plane.js";
import { SquallError } from "../errors.js";
import type { Machine } from "../machine.js";
import { type ReplicaReport, readProgress } from "../status.js";
import {
  dropReasons,
  MessageType,
  type NativeAddress,
  type NativeBinding,
  type NativeLoopHub,
  type NativeReplicaEngine,
  type NativeUdpFabric,
  ReplicaStatus,
  StatusWord,
} from "./binding.js";
import { BootIdBytes, configDigest, decodeBootRecord, encodeBlank, newBootId, RecoveringKind } from "./boot.js";
import { detachableReplicaUpcalls } from "./detachable.js";
import { addressErrorCode, type Endpoints, endpointsOf } from "./endpoints.js";
import type { ReplicaEvent } from "./events.js";
import { FaultAgreement } from "./fault-agreement.js";
import { failureDigest, type MachineFailure, MachineHost } from "./machine-host.js";
import { ReplicaDataPlane } from "./replica-data-plane.js";

const AnnounceUs = 500_000;
/** Operations of one batch upcall; a longer backlog is executed in several. */
const BatchRows = 1024;
const BatchArenaBytes = 256 * 1024;
/** Timers of the event loop count milliseconds and may fire a little early. */
const EarlyUs = 2_000;
/** A state digest may be costly: replicas compute one for askers at most so often. */
const DigestIntervalUs = 100_000;

export interface ReplicaHostOptions {
  binding: NativeBinding;
  fabric: NativeUdpFabric | NativeLoopHub;
  /** Under the loop: the port made for this replica. */
  loopPort?: number;
  cluster: Cluster;
  id: number;
  machine: Machine;
  /** Under the loop, or to bind elsewhere than the cluster says. */
  endpoints?: Endpoints;
  /** Test builds only. */
  guardsOff?: number;
  debug?: boolean;
  /** StatusWord.Count words over a SharedArrayBuffer; made here unless given. */
  words?: Float64Array;
  /** 16 bytes, fresh for each start of the process. */
  bootId?: Uint8Array;
  /** Operations of one batch upcall, and room for their bytes: what one replica holds beyond its log. */
  batch?: { rows: number; arenaBytes: number };
  /** Called synchronously; must not throw. */
  onEvent?: (event: ReplicaEvent) => void;
}

export function newStatusWords(): Float64Array {
  return new Float64Array(new SharedArrayBuffer(StatusWord.Count * Float64Array.BYTES_PER_ELEMENT));
}

const BadBodyWord = StatusWord.DropBase + dropReasons.indexOf("badBody");

export class ReplicaHost {
  readonly id: number;
  readonly words: Float64Array;
  readonly machine: MachineHost;
  readonly engine: NativeReplicaEngine;
  readonly data: ReplicaDataPlane;
  readonly control: ControlPlane;
  readonly #n: number;
  readonly #bootId: Uint8Array;
  readonly #configDigest: Uint8Array;
  readonly #faults: FaultAgreement;
  readonly #onEvent: (event: ReplicaEvent) => void;
  readonly #upcalls = detachableReplicaUpcalls({
    onExecute: (count) => (this.#broken === undefined ? this.machine.execute(count) : 0),
    onControl: (type, from, stream, body) => this.#onControl(type, from, stream, body),
    onComplaint: (session, seqno) => this.#onComplaint(session, seqno),
    onTick: (nowUs) => this.#onTick(nowUs),
  });
  #bootRecord: Uint8Array | undefined;
  #announceUs = 0;
  #armedUs = Number.POSITIVE_INFINITY;
  #progressSeqno = 0;
  #digestUs = Number.NEGATIVE_INFINITY;
  #digest: string | undefined;
  #broken: string | undefined;
  #halted = false;
  #closed = false;

  /** Opens the replica's endpoints. Throws ADDRESS_IN_USE, ADDRESS_INVALID, SECRET_MISSING or INVALID_OPTION. */
  constructor(options: ReplicaHostOptions) {
    const { cluster, id } = options;
    const n = cluster.replicas.length;
    if (cluster.secret === undefined)
      throw new SquallError("SECRET_MISSING", "A replica needs the cluster's secret; the cluster file names it under `secretFile`.");
    if (!Number.isInteger(id) || id < 0 || id >= n) {
      throw new SquallError("INVALID_OPTION", `id must be a replica's index, 0 to ${n - 1}; it is ${String(id)}.`);
    }
    this.id = id;
    this.words = options.words ?? newStatusWords();
    this.#n = n;
    this.#bootId = options.bootId ?? newBootId();
    this.#configDigest = configDigest(cluster);
    this.#onEvent = options.onEvent ?? (() => {});
    this.machine = new MachineHost({
      machine: options.machine,
      rows: options.batch?.rows ?? BatchRows,
      arenaBytes: cluster.limits.operationBytes + (options.batch?.arenaBytes ?? BatchArenaBytes),
      maxResultBytes: cluster.limits.operationBytes,
      debug: options.debug === true,
      onFailure: (failure) => this.#onMachineFailure(failure),
    });
    this.engine = this.#openEngine(options, cluster.secret);
    this.data = new ReplicaDataPlane(options.binding, this.engine, this.machine, this.words, {
      onInstalled: (view, rolledBack, installed) => this.#onInstalled(view, rolledBack, installed),
      onFail: (message) => this.#fail(message),
    });
    this.control = new ControlPlane(
      { replica: id, n, timing: cluster.timing, guardsOff: options.binding.mutations ? (options.guardsOff ?? 0) : 0 },
      this.data,
    );
    this.#faults = new FaultAgreement(id, n, {
      send: (to, body) => this.engine.send(to, MessageType.Fault, body),
      executed: () => this.data.executed,
      hashAt: (seqno) => this.engine.hashAt(seqno),
      resume: (seqno) => this.#resume(seqno),
    });
    this.#arm();
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

  /** Enters NORMAL in view 0 of this life; false unless the replica is blank. `record` is what peers are told that missed it. */
  bootstrap(lifeId: Uint8Array, record?: Uint8Array): boolean {
    if (this.#closed || this.engine.lifeId() !== undefined || this.data.status !== ReplicaStatus.Recovery) return false;
    this.engine.bootstrap(lifeId);
    this.#bootRecord = record;
    this.#onEvent({ type: "bootstrapped", replica: this.id, lifeId: hex(lifeId) });
    this.control.onProgress(this.engine.nowUs());
    this.#arm();
    return true;
  }

  /** The report, without digest. */
  report(): ReplicaReport {
    const progress = readProgress(this.words);
    const lifeId = this.#closed ? undefined : this.engine.lifeId();
    const failure = this.machine.failure;
    return {
      id: this.id,
      replicas: this.#n,
      ...progress,
      lifeId: lifeId === undefined ? undefined : hex(lifeId),
      bootId: hex(this.#bootId),
      committedHash: this.#closed ? "" : hex(this.engine.hashAt(progress.committed)),
      hash: this.#closed ? "" : hex(this.engine.hashAt(progress.speculative)),
      ...(failure === undefined
        ? {}
        : { failure: { code: failure.code, seqno: failure.seqno, upcall: failure.upcall, message: failure.text } }),
      ...(this.#broken === undefined ? {} : { broken: this.#broken }),
      network: this.#closed ? {} : this.engine.counters(),
    };
  }

  /** Digest of machine state and session table at `executed`, computed here and now. Throws what the machine throws. */
  digestNow(): Buffer {
    const state = this.machine.digestOrSnapshot();
    const stateDigest =
      state === undefined ? new Uint8Array(0) : "digest" in state ? state.digest : createHash("sha256").update(state.snapshot).digest();
    return combineDigests(stateDigest, this.engine.sessionDigest());
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.engine.close();
    this.#upcalls.detach();
    this.words[StatusWord.Status] = ReplicaStatus.Closed;
    this.#onEvent({ type: "closed", replica: this.id });
  }

  #openEngine(options: ReplicaHostOptions, secret: Uint8Array): NativeReplicaEngine {
    const { cluster } = options;
    const endpoints = options.endpoints ?? endpointsOf(cluster);
    const { limits } = cluster;
    try {
      return new options.binding.ReplicaEngine(
        {
          fabric: options.fabric,
          ...(options.loopPort === undefined ? {} : { loopPort: options.loopPort }),
          group: cluster.group,
          replica: options.id,
          replicas: endpoints.replicas,
          ...(endpoints.design === "multicast" && endpoints.target !== undefined
            ? { multicast: { group: endpoints.target, ...(endpoints.interface === undefined ? {} : { interface: endpoints.interface }) } }
            : {}),
          secret,
          sealed: cluster.sealed,
          datagramBytes: cluster.datagramBytes,
          maxOperationBytes: limits.operationBytes,
          window: limits.window,
          maxSessions: limits.sessions,
          logEntries: limits.logEntries,
          logBytes: limits.logBytes,
          maxClockSkewMs: limits.clockSkewMs,
          status: this.words,
          rows: this.machine.rows,
          arena: this.machine.arena,
          results: this.machine.results,
          ...(options.guardsOff === undefined ? {} : { guardsOff: options.guardsOff }),
        },
        this.#upcalls.upcalls,
      );
    } catch (cause) {
      if (cause instanceof RangeError) {
        throw new SquallError(
          "INVALID_OPTION",
          `The system grants no address space for a log of ${limits.logEntries} entries and ${limits.logBytes} bytes: lower limits.logEntries or limits.logBytes.`,
          { cause },
        );
      }
      const code = addressErrorCode(cause);
      if (code === undefined) throw cause;
      const address = cluster.replicas[options.id];
      const what =
        code === "ADDRESS_IN_USE"
          ? "is in use: another process, or this replica a second time, has the port"
          : "can't be bound on this machine";
      throw new SquallError(code, `Replica ${options.id}'s address ${address?.ip} port ${address?.port} ${what}.`, { cause });
    }
  }

  #onTick(nowUs: number): void {
    if (this.#stopped()) return;
    this.data.commitExecuted();
    this.control.onProgress(nowUs);
    if (nowUs >= this.#armedUs) {
      this.words[StatusWord.LoopDelayUs] = nowUs - this.#armedUs;
      this.#armedUs = Number.POSITIVE_INFINITY;
      if (nowUs >= this.control.nextDeadlineUs()) this.control.onTimer(nowUs);
      this.#faults.onTimer(nowUs);
      this.#announce(nowUs);
    } else if (this.#armedUs - nowUs < EarlyUs) {
      // This may have been the timer, fired a little early: it would not come again.
      this.engine.setTimer(this.#armedUs);
    }
    this.#arm();
  }

  #onComplaint(session: number, seqno: number): void {
    if (this.#stopped()) return;
    this.control.onComplaint(this.engine.nowUs(), session, seqno);
    this.#arm();
  }

  #onControl(type: number, from: number, stream: number, body: Uint8Array): void {
    if (this.#stopped()) return;
    const nowUs = this.engine.nowUs();
    switch (type) {
      case MessageType.BootstrapPrepare:
        this.#answerOperator(stream);
        break;
      case MessageType.BootstrapCommit:
        this.#takeBootRecord(body);
        this.#answerOperator(stream);
        break;
      case MessageType.Recovering:
        this.#onRecovering(from, body);
        break;
      case MessageType.StatusRequest:
        this.#answerStatus(nowUs, stream, body);
        break;
      case MessageType.Fault:
        this.#faults.onMessage(nowUs, from, body);
        break;
      default:
        if (!this.control.onFrame(nowUs, from, type, body)) (this.words[BadBodyWord] as number) += 1;
    }
    if (!this.#stopped()) this.#arm();
  }

  /** BOOTSTRAPPED(life) once there is a life, else BLANK(boot id, config digest). */
  #answerOperator(stream: number): void {
    const lifeId = this.engine.lifeId();
    if (lifeId !== undefined) this.engine.sendToStream(stream, MessageType.Bootstrapped, lifeId);
    else this.engine.sendToStream(stream, MessageType.Blank, encodeBlank(this.#bootId, this.#configDigest));
  }

  /** Takes a life if the record names this very process; a process started later has another boot id and stays in RECOVERY. */
  #takeBootRecord(body: Uint8Array): void {
    const record = decodeBootRecord(body, this.#n);
    const own = record?.bootIds[this.id];
    if (record === undefined || own === undefined || Buffer.compare(own, this.#bootId) !== 0) return;
    this.bootstrap(record.lifeId, body.slice());
  }

  #onRecovering(from: number, body: Uint8Array): void {
    if (body[0] === RecoveringKind.Commit) {
      this.#takeBootRecord(body.subarray(1));
    } else if (body[0] === RecoveringKind.Announce && body.length === 1 + BootIdBytes && this.#bootRecord !== undefined) {
      const named = decodeBootRecord(this.#bootRecord, this.#n)?.bootIds[from];
      if (named === undefined || Buffer.compare(named, body.subarray(1)) !== 0) return;
      this.engine.send(from, MessageType.Recovering, Buffer.concat([Uint8Array.of(RecoveringKind.Commit), this.#bootRecord]));
    }
  }

  /** In RECOVERY: tells the others which process is here, in case it missed the end of its bootstrap. */
  #announce(nowUs: number): void {
    if (this.data.status !== ReplicaStatus.Recovery || nowUs < this.#announceUs) return;
    this.#announceUs = nowUs + AnnounceUs;
    this.engine.send(-1, MessageType.Recovering, Buffer.concat([Uint8Array.of(RecoveringKind.Announce), this.#bootId]));
  }

  /** A first body byte of 1 asks for the digest too. */
  #answerStatus(nowUs: number, stream: number, body: Uint8Array): void {
    const report = this.report();
    if (body[0] === 1) {
      if (nowUs - this.#digestUs >= DigestIntervalUs) {
        this.#digestUs = nowUs;
        try {
          this.#digest = this.digestNow().toString("hex");
        } catch {
          this.#digest = undefined;
        }
      }
      if (this.#digest !== undefined) report.digest = this.#digest;
    }
    this.engine.sendToStream(stream, MessageType.StatusReply, Buffer.from(JSON.stringify(report)));
  }

  #onMachineFailure(failure: MachineFailure): void {
    this.#setHalted(true);
    if (failure.upcall === "speculativelyExecute") {
      this.#faults.begin(this.engine.nowUs(), failure.seqno, this.engine.hashAt(failure.seqno), failureDigest(failure));
    } else {
      this.#faults.cancel();
    }
    this.#arm();
    this.#onEvent({
      type: "machine-error",
      replica: this.id,
      seqno: failure.seqno,
      upcall: failure.upcall,
      code: failure.code,
      message: failure.text,
      error: failure.error,
    });
  }

  #resume(seqno: number): void {
    this.machine.resume();
    if (this.machine.failure !== undefined) return;
    this.#onEvent({ type: "resumed", replica: this.id, seqno });
    this.#setHalted(false);
    this.data.commitExecuted();
  }

  #onInstalled(view: number, rolledBack: number, installed: number): void {
    // An operation that stopped the machine and was rolled back no longer holds it.
    if (this.#halted && this.machine.failure === undefined) {
      this.#faults.cancel();
      this.#setHalted(false);
    }
    this.#onEvent({ type: "installed", replica: this.id, view, rolledBack, installed });
  }

  #fail(message: string): void {
    if (this.#broken !== undefined) return;
    this.#broken = message;
    this.#setHalted(true);
    this.#onEvent({ type: "invariant-broken", replica: this.id, message });
  }

  #setHalted(halted: boolean): void {
    this.#halted = halted;
    this.engine.setHalted(halted);
  }

  #stopped(): boolean {
    return this.#closed || this.#broken !== undefined;
  }

  #arm(): void {
    // Ticks cost a crossing each: asked for only where the control plane, or a commit that waits for execution, needs one.
    const { data } = this;
    const progressSeqno = data.executed < data.committed ? 0 : this.control.progressSeqno();
    if (progressSeqno !== this.#progressSeqno) {
      this.#progressSeqno = progressSeqno;
      this.engine.setProgressAt(progressSeqno);
    }
    // Whole microseconds, rounded up: a timer that came a fraction early would be set again for the same moment, for ever.
    let dueUs = Math.ceil(Math.min(this.control.nextDeadlineUs(), this.#faults.nextDeadlineUs()));
    if (this.data.status === ReplicaStatus.Recovery) dueUs = Math.min(dueUs, this.#announceUs);
    // An earlier timer that is on its way will find out.
    if (dueUs >= this.#armedUs) return;
    this.#armedUs = dueUs;
    this.engine.setTimer(dueUs);
  }
}

/** State and session table in one digest, so that replicas with equal digests answer alike. */
export function combineDigests(state: Uint8Array, sessions: Uint8Array): Buffer {
  return createHash("sha256").update(state).update(sessions).digest();
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("hex");
}
