/** The data plane as the control plane sees it: the native engine's verbs with the machine's upcalls in their places. */
import type { DataPlane } from "../control/data-plane.js";
import type { NativeBinding, NativeReplicaEngine } from "./binding.js";
import { StatusWord } from "./binding.js";
import type { MachineHost } from "./machine-host.js";

export interface DataPlaneHooks {
  onInstalled(view: number, rolledBack: number, installed: number): void;
  onFail(message: string): void;
}

export class ReplicaDataPlane implements DataPlane {
  readonly #binding: NativeBinding;
  readonly #engine: NativeReplicaEngine;
  readonly #machine: MachineHost;
  readonly #words: Float64Array;
  readonly #hooks: DataPlaneHooks;

  constructor(binding: NativeBinding, engine: NativeReplicaEngine, machine: MachineHost, words: Float64Array, hooks: DataPlaneHooks) {
    this.#binding = binding;
    this.#engine = engine;
    this.#machine = machine;
    this.#words = words;
    this.#hooks = hooks;
  }

  get view(): number {
    return this.#words[StatusWord.View] as number;
  }
  get lastNormalView(): number {
    return this.#words[StatusWord.LastNormalView] as number;
  }
  get status(): number {
    return this.#words[StatusWord.Status] as number;
  }
  get mode(): number {
    return this.#words[StatusWord.Mode] as number;
  }
  get logEnd(): number {
    return this.#words[StatusWord.LogEnd] as number;
  }
  get committed(): number {
    return this.#words[StatusWord.Committed] as number;
  }
  get executed(): number {
    return this.#words[StatusWord.Executed] as number;
  }

  hashAt(seqno: number): Uint8Array {
    return this.#engine.hashAt(seqno);
  }
  suffixRows(from: number, to: number): Uint8Array {
    return this.#engine.suffixRows(from, to);
  }
  record(seqno: number): Uint8Array {
    return this.#engine.record(seqno);
  }
  viewOf(seqno: number): number {
    return this.#engine.viewOf(seqno);
  }
  summaryHash(previous: Uint8Array, record: Uint8Array): Uint8Array {
    return this.#binding.summaryHash(previous, record);
  }
  freeze(view: number): void {
    this.#engine.freeze(view);
  }

  install(view: number, mode: number, keepTo: number, records: Uint8Array[]): void {
    const rolledBack = this.#rollBackMachine(keepTo);
    this.#engine.install(view, mode, keepTo, records);
    this.commitExecuted();
    this.#hooks.onInstalled(view, rolledBack, records.length);
  }

  commitTo(seqno: number): void {
    this.#engine.commitTo(seqno);
    this.commitExecuted();
  }

  /** The machine's commit upcall follows execution, never runs ahead of it. */
  commitExecuted(): void {
    this.#machine.commit(Math.min(this.committed, this.executed));
  }

  answer(fromSeqno: number, toSeqno: number): void {
    this.#engine.answer(fromSeqno, toSeqno);
  }
  send(to: number, type: number, body: Uint8Array): void {
    this.#engine.send(to, type, body);
  }
  fail(message: string): void {
    this.#hooks.onFail(message);
  }
  count(counter: "reconciliations" | "syncs"): void {
    const word = counter === "syncs" ? StatusWord.SyncsSent : StatusWord.Reconciliations;
    this.#words[word] = (this.#words[word] as number) + 1;
  }

  #rollBackMachine(keepTo: number): number {
    const executed = this.executed;
    if (executed <= keepTo) return 0;
    const operations: Buffer[] = [];
    const seqnos: number[] = [];
    for (let seqno = executed; seqno > keepTo; seqno--) {
      const operation = this.#engine.executedOperation(seqno);
      if (operation === undefined || this.#machine.hasThrown(seqno)) continue;
      operations.push(Buffer.from(operation.buffer, operation.byteOffset, operation.length));
      seqnos.push(seqno);
    }
    this.#machine.rollback(executed, keepTo, operations, seqnos);
    return operations.length;
  }
}
