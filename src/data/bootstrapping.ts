/**
 * How a blank replica gets into a life: by the operator's record, which names the very process that it is, or by another replica that has
 * that record. One that is not named has lost its memory, and must recover.
 */
import { decodeRecoveryQuery } from "../control/recovery-messages.js";
import { MessageType, type NativeReplicaEngine } from "./binding.js";
import { decodeBootRecord, encodeBlank, RecoveringKind } from "./boot.js";

export interface BootstrappingOptions {
  engine: NativeReplicaEngine;
  id: number;
  replicas: number;
  bootId: Uint8Array;
  configDigest: Uint8Array;
  /** Whether the life that this replica is in outlasts its process, as far as it is to. */
  lasts(): boolean;
  /** The record names this process: it begins this life, unless it is in one. */
  begin(lifeId: Uint8Array, record: Uint8Array): void;
}

export class Bootstrapping {
  readonly #options: BootstrappingOptions;
  /** What peers are told that missed it. */
  record: Uint8Array | undefined;

  constructor(options: BootstrappingOptions) {
    this.#options = options;
  }

  /** True when the frame was for here. */
  onFrame(type: number, from: number, stream: number, body: Uint8Array): boolean {
    switch (type) {
      case MessageType.BootstrapPrepare:
        this.#answerOperator(stream);
        return true;
      case MessageType.BootstrapCommit:
        this.#take(body);
        this.#answerOperator(stream);
        return true;
      case MessageType.Recovering:
        if (body[0] === RecoveringKind.Commit) this.#take(body.subarray(1));
        return true;
      case MessageType.RecoveryQuery:
        return this.#help(from, body);
      default:
        return false;
    }
  }

  /** BOOTSTRAPPED(life) once there is a life, on disk where it is to be; BLANK(boot id, config digest) while there is none. */
  #answerOperator(stream: number): void {
    const { engine, bootId, configDigest, lasts } = this.#options;
    const lifeId = engine.lifeId();
    if (lifeId !== undefined && !lasts()) return;
    if (lifeId !== undefined) engine.sendToStream(stream, MessageType.Bootstrapped, lifeId);
    else engine.sendToStream(stream, MessageType.Blank, encodeBlank(bootId, configDigest));
  }

  /** A process started later has another boot id and is not named. */
  #take(body: Uint8Array): void {
    const { id, replicas, bootId } = this.#options;
    const record = decodeBootRecord(body, replicas);
    const own = record?.bootIds[id];
    if (record === undefined || own === undefined || Buffer.compare(own, bootId) !== 0) return;
    this.#options.begin(record.lifeId, body.slice());
  }

  /** Whoever asks how to recover, and is named by the record, only missed the end of the bootstrap. */
  #help(from: number, query: Uint8Array): boolean {
    const bootId = decodeRecoveryQuery(query)?.bootId;
    if (this.record === undefined || bootId === undefined) return false;
    const named = decodeBootRecord(this.record, this.#options.replicas)?.bootIds[from];
    if (named === undefined || Buffer.compare(named, bootId) !== 0) return false;
    this.#options.engine.send(from, MessageType.Recovering, Buffer.concat([Uint8Array.of(RecoveringKind.Commit), this.record]));
    return true;
  }
}
