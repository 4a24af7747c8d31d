/**
 * One replica under the explorer: the native engine, its data plane, a machine and the control plane as they ship, without a network and
 * without a clock. It goes to any state that it was in before, takes one event there, and tells what came of it.
 */
import { ControlPlane } from "../control/control-plane.js";
import {
  Guard,
  MessageType,
  type NativeBinding,
  type NativeCaptureFabric,
  type NativeReplicaEngine,
  ReplicaStatus,
} from "../data/binding.js";
import { MachineHost } from "../data/machine-host.js";
import { ReplicaDataPlane } from "../data/replica-data-plane.js";
import { newestWireVersion } from "../data/wire-version.js";
import { newStatusWords } from "../status.js";
import { RecordedMachine } from "./machine.js";
import { ObjectState } from "./object-state.js";
import { idleBetweenViews, idleInView, LateUs, NowUs, ofLeaderViews, SoonUs } from "./pacing.js";

export interface ExploredGroup {
  binding: NativeBinding;
  n: number;
  mode: "speculative" | "leader" | "adaptive";
  guardsOff: number;
}

/** A message that a replica sent: to replica `to`, or -1: to the client. */
export interface Sent {
  readonly to: number;
  readonly type: number;
  readonly body: Uint8Array;
}

export type ReplicaEvent =
  | { kind: "deliver"; from: number; type: number; body: Uint8Array }
  /** What is repeated or waited for a short time. */
  | { kind: "soon" }
  /** The view is left, or given up. */
  | { kind: "timeout" }
  /** All memory is lost; `process` tells one process of this replica from another, 1 and up. */
  | { kind: "crash"; process: number };

/** A state that a replica was in. Equal numbers, equal states. */
export interface ReplicaState {
  readonly native: number;
  readonly control: readonly number[];
  readonly machine: string;
  readonly view: number;
  readonly status: number;
  readonly committed: number;
  readonly end: number;
  /** The incarnations that it knows of, of all replicas. */
  readonly vector: string;
  /** The process, from 0, that is still asking which incarnation of this replica it is; -1: it knows. */
  readonly asking: number;
}

export interface Outcome {
  readonly state: ReplicaState;
  readonly sent: Sent[];
  /** Broken invariants: what the replica, or the explorer looking at it, found. */
  readonly failures: string[];
}

/** The client's id, session, and the 16 bytes that name its stream. */
export const clientId = 77;
const clientStream = new Uint8Array(16).fill(9);
export const sessionBytes = clientStream.subarray(0, 8);
const lifeId = new Uint8Array(16).fill(7);
const ClientBit = 0x8000_0000;
const BatchRows = 16;
const OperationBytes = 256;
export const LogEntries = 64;

/** Nothing repeats by itself, and nobody falls silent: the explorer says when. */
const timing = {
  syncMinMs: 1,
  syncMaxMs: 1,
  syncEvery: 1 << 20,
  syncTimeoutMs: 100,
  reconciliationTimeoutMs: 100,
  resendMs: 0,
  heartbeatMs: 1e12,
  detectMs: 1e12,
};

export class ExploredReplica {
  private readonly fabric: NativeCaptureFabric;
  private readonly engine: NativeReplicaEngine;
  private readonly data: ReplicaDataPlane;
  private readonly control: ControlPlane;
  private readonly machine = new RecordedMachine();
  private readonly objects: ObjectState;
  private readonly natives = new Map<string, number>();
  private readonly nativeBytes: Uint8Array[] = [];
  private readonly blank: ReplicaState;
  /** Without these rules an earlier reconciliation, or an earlier view, still matters. */
  private readonly beginsAnew: boolean;
  private failures: string[] = [];

  constructor(group: ExploredGroup, id: number) {
    const { binding, n, guardsOff, mode } = group;
    const words = newStatusWords();
    const host = new MachineHost({
      machine: this.machine,
      rows: BatchRows,
      arenaBytes: 4096,
      maxResultBytes: OperationBytes,
      onFailure: (failure) => this.failures.push(failure.text),
    });
    this.fabric = new binding.CaptureFabric();
    this.engine = new binding.ReplicaEngine(
      {
        fabric: this.fabric,
        group: new Uint8Array(8).fill(5),
        replica: id,
        replicas: Array.from({ length: n }, (_, port) => ({ loop: port })),
        secret: new Uint8Array(32),
        sealed: false,
        datagramBytes: 65_000,
        maxOperationBytes: OperationBytes,
        window: 4,
        maxSessions: 1,
        logEntries: LogEntries,
        logBytes: 1,
        maxClockSkewMs: 1000,
        checkpointEvery: 0,
        prepareBatch: 64,
        newestWireVersion: newestWireVersion(),
        mode: mode === "leader" ? 1 : 0,
        status: words,
        rows: host.rows,
        arena: host.arena,
        results: host.results,
        guardsOff,
      },
      {
        onExecute: (count) => host.execute(count),
        onQuery: () => 0,
        onControl: (type, from, _stream, body) => void this.control.onFrame(NowUs, from, type, body),
        onComplaint: () => {},
        onAppended: () => {},
        onTick: () => {
          this.data.commitExecuted();
          this.control.onProgress(NowUs);
        },
      },
    );
    this.data = new ReplicaDataPlane({
      binding,
      engine: this.engine,
      machine: host,
      words,
      logEntries: LogEntries,
      logBytes: 2 ** 32,
      checkpointEvery: 0,
      hashInPlace: true,
      hooks: {
        onInstalled: () => {},
        onCheckpoint: () => {},
        onCheckpointRefused: () => {},
        onRestored: () => {},
        onVerified: () => {},
        onHashed: () => {},
        onEvent: () => {},
        onFail: (message) => this.failures.push(message),
      },
    });
    this.control = new ControlPlane({ replica: id, n, timing, mode, guardsOff, bootId: new Uint8Array(16) }, this.data);
    this.objects = new ObjectState(this.control, [this.data], mode === "speculative" ? ofLeaderViews : [], mode !== "adaptive");
    this.beginsAnew = (guardsOff & (Guard.MergeOnce | Guard.InstallOnce | Guard.RecoverySilence)) === 0;
    this.blank = this.save();
  }

  /** NORMAL in view 0, without any entry. */
  bootstrapped(): Outcome {
    this.load(this.blank);
    this.engine.bootstrap(lifeId);
    this.control.onProgress(NowUs);
    return this.outcome();
  }

  /** Goes to `state` and takes the event there. */
  step(state: ReplicaState, event: ReplicaEvent): Outcome {
    this.load(event.kind === "crash" ? this.blank : state);
    return this.stepOn(event);
  }

  /** Takes the event where the last one has led. */
  stepOn(event: ReplicaEvent): Outcome {
    try {
      this.take(event);
      this.engine.flush();
    } catch (error) {
      this.failures.push(error instanceof Error ? error.message : String(error));
    }
    return this.outcome();
  }

  /** Whether all that `after` has and `before` has not is gathered towards a quorum that is not there yet. */
  hasGathered(before: ReplicaState, after: ReplicaState): boolean {
    if (before.native !== after.native || before.machine !== after.machine) return false;
    return this.objects.gathers.every((gathers, i) => gathers || before.control[i] === after.control[i]);
  }

  /** The summary hash at `seqno` of the state that was stepped to last, in hexadecimal. */
  hashAt(seqno: number): string {
    return Buffer.from(this.engine.hashAt(seqno)).toString("hex");
  }

  close(): void {
    this.engine.close();
  }

  private take(event: ReplicaEvent): void {
    switch (event.kind) {
      case "deliver": {
        const request = event.type === MessageType.Request;
        const stream = request ? clientStream : new Uint8Array(16).fill(event.from + 1);
        this.fabric.deliver(event.type, request ? clientId : event.from, stream, event.body);
        break;
      }
      case "soon":
        this.control.onTimer(SoonUs);
        break;
      case "timeout":
        // Whatever makes a replica leave its view, it leaves it in the same way.
        if (this.data.status === ReplicaStatus.Normal) this.control.reconfigure(NowUs);
        else this.control.onTimer(LateUs);
        break;
      case "crash":
        this.context.bootId = new Uint8Array(16).fill(event.process);
        break;
    }
  }

  /** A process's name for itself, in `bootId`, is the only thing that a blank replica brings along. */
  private get context(): { bootId: Uint8Array; readonly vector: readonly number[] } {
    return (this.control as unknown as { context: { bootId: Uint8Array; vector: number[] } }).context;
  }

  private outcome(): Outcome {
    const failures = [...this.failures, ...this.machine.problems(this.data.executed)];
    this.failures = [];
    return { state: this.save(), sent: this.sent(), failures };
  }

  private save(): ReplicaState {
    const { view, status, committed, logEnd: end } = this.data;
    const asking = this.control.snapshot.recovery?.code === "asking" ? this.context.bootId[0]! : -1;
    const between = status === ReplicaStatus.Reconciliation;
    const idle = !this.beginsAnew ? [] : between ? idleBetweenViews : status === ReplicaStatus.Normal ? idleInView : [];
    return {
      native: this.saveNative(),
      control: this.objects.save(idle),
      machine: this.machine.state,
      view,
      status,
      committed,
      end,
      vector: this.context.vector.join(),
      asking,
    };
  }

  private saveNative(): number {
    const bytes = this.engine.save();
    const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("latin1");
    let number = this.natives.get(text);
    if (number === undefined) {
      number = this.nativeBytes.length;
      this.natives.set(text, number);
      this.nativeBytes.push(bytes);
    }
    return number;
  }

  private load(state: ReplicaState): void {
    this.engine.load(this.nativeBytes[state.native]!);
    this.objects.load(state.control);
    this.machine.state = state.machine;
    this.failures = [];
    this.fabric.take();
  }

  private sent(): Sent[] {
    const bytes = this.fabric.take();
    const sent: Sent[] = [];
    if (!bytes) return sent;
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    for (let at = 0; at < bytes.length; ) {
      const receivers = view.getUint32(at, true);
      const type = view.getUint32(at + 4, true);
      const length = view.getUint32(at + 8, true);
      const body = bytes.subarray(at + 12, at + 12 + length);
      at += 12 + length;
      if (receivers & ClientBit) sent.push({ to: -1, type, body });
      for (let to = 0; to < 31; to++) if (receivers & (1 << to)) sent.push({ to, type, body });
    }
    return sent;
  }
}
