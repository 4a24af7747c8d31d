/** A replica whose machine threw: it halts, agrees with the others on whose fault that is, and goes on where the operation was at fault. */
import { MessageType, type NativeReplicaEngine } from "./binding.js";
import type { ReplicaEvent } from "./events.js";
import { FaultAgreement } from "./fault-agreement.js";
import { failureDigest, type MachineFailure, type MachineHost } from "./machine-host.js";
import type { ReplicaDataPlane } from "./replica-data-plane.js";

export interface MachineFaultsOptions {
  engine: NativeReplicaEngine;
  data: ReplicaDataPlane;
  machine: MachineHost;
  onEvent(event: ReplicaEvent): void;
}

export class MachineFaults {
  readonly #options: MachineFaultsOptions;
  #replica: number;
  #agreement: FaultAgreement;
  #halted = false;

  /** Of replica `replica` of n. */
  constructor(options: MachineFaultsOptions, replica: number, n: number) {
    this.#options = options;
    this.#replica = replica;
    this.#agreement = this.#newAgreement(n);
  }

  get deadlineUs(): number {
    return this.#agreement.nextDeadlineUs();
  }

  /** In another epoch it has other peers, and perhaps another index. */
  entered(replica: number, n: number): void {
    this.#replica = replica;
    this.#agreement = this.#newAgreement(n);
  }

  onFailure(failure: MachineFailure): void {
    const { engine, onEvent } = this.#options;
    this.setHalted(true);
    if (failure.upcall === "speculativelyExecute") {
      this.#agreement.begin(engine.nowUs(), failure.seqno, engine.hashAt(failure.seqno), failureDigest(failure));
    } else {
      this.#agreement.cancel();
    }
    const { seqno, upcall, code, text: message, error } = failure;
    onEvent({ type: "machine-error", replica: this.#replica, seqno, upcall, code, message, error });
  }

  onMessage(nowUs: number, from: number, body: Uint8Array): void {
    this.#agreement.onMessage(nowUs, from, body);
  }

  onTimer(nowUs: number): void {
    this.#agreement.onTimer(nowUs);
  }

  /** A view's log is in place: an operation that stopped the machine and was rolled back no longer holds it. */
  installed(): void {
    if (!this.#halted || this.#options.machine.failure !== undefined) return;
    this.#agreement.cancel();
    this.setHalted(false);
  }

  setHalted(halted: boolean): void {
    this.#halted = halted;
    this.#options.engine.setHalted(halted);
  }

  #newAgreement(n: number): FaultAgreement {
    const { engine, data } = this.#options;
    return new FaultAgreement(this.#replica, n, {
      send: (to, body) => engine.send(to, MessageType.Fault, body),
      executed: () => data.executed,
      // Of what is forgotten nothing can be said.
      hashAt: (seqno) => (seqno < data.logBase ? new Uint8Array(0) : engine.hashAt(seqno)),
      resume: (seqno) => this.#resume(seqno),
    });
  }

  #resume(seqno: number): void {
    const { machine, data, onEvent } = this.#options;
    machine.resume();
    if (machine.failure !== undefined) return;
    onEvent({ type: "resumed", replica: this.#replica, seqno });
    this.setHalted(false);
    data.commitExecuted();
  }
}
