/** The disk of one replica: brings back what was on it, and keeps it up to date. */
import type { ControlPlane } from "../../control/control-plane.js";
import type { SquallError } from "../../errors.js";
import { DurabilityLevel, Mode, type NativeReplicaEngine, ReplicaStatus, StatusWord } from "../binding.js";
import type { Epochs } from "../epochs.js";
import type { ReplicaEvent } from "../events.js";
import { hex } from "../hashing.js";
import type { ReplicaDataPlane } from "../replica-data-plane.js";
import { Durability } from "./durability.js";
import { damaged, type StoredReplica, storedRows } from "./stored-replica.js";
import { acceptedOf, leadsLast, type StoredState } from "./stored-state.js";

/** Entries that one crossing hands to the engine. */
const LoadRows = 1024;

export interface PersistenceHost {
  /** What a control plane begins with; undefined: a new one. */
  control(): ControlPlane;
  /** Makes the control plane anew, with this memory. */
  newControl(memory: ControlMemory): void;
  event(event: ReplicaEvent): void;
  /** More is on disk. */
  durable(): void;
  /** Nothing is acknowledged any more. */
  stop(error: SquallError): void;
}

export interface ControlMemory {
  incarnation?: number;
  vector?: readonly number[];
  leastIncarnation?: number;
}

export interface PersistenceOptions {
  stored: StoredReplica;
  engine: NativeReplicaEngine;
  data: ReplicaDataPlane;
  epochs: Epochs;
  words: Float64Array;
  largestOperationBytes: number;
  guardsOff: number;
  host: PersistenceHost;
}

export class Persistence {
  readonly durability: Durability;
  private readonly options: PersistenceOptions;
  /** Why nothing is written any more. */
  failure: SquallError | undefined;

  constructor(options: PersistenceOptions) {
    this.options = options;
    const { stored, engine, words, largestOperationBytes, guardsOff, host } = options;
    this.durability = new Durability({
      level: stored.level,
      storage: stored.storage,
      engine,
      words,
      largestOperationBytes,
      guardsOff,
      state: () => this.state(),
      onDurable: () => host.durable(),
      onFailure: (error) => this.fail(error as SquallError),
      onSnapshotFailure: (seqno, error) =>
        host.event({ type: "storage-failed", replica: epochsId(options), fatal: false, message: `snapshot at ${seqno}: ${error.message}` }),
    });
  }

  get level(): number {
    return this.options.stored.level;
  }

  /**
   * Goes on from what was on disk, at the start and before anything else happens. Throws STORAGE_CORRUPT: the log there is not what it
   * was, or does not fit the limits.
   */
  begin(nowUs: number): void {
    const { stored, engine, data, epochs, host } = this.options;
    const { state, snapshot, entries } = stored;
    if (!state) {
      data.durability = this.durability;
      this.durability.restarted(0, stored.storage.end, undefined);
      return;
    }
    const life = Buffer.from(state.life, "hex");
    const { whole } = stored;
    if (state.epoch && !epochs.resume(nowUs, life, state.id, state.epoch)) throw damaged("its configuration can't be read");
    if (!state.epoch) engine.setLife(life);
    const memory = whole
      ? { incarnation: state.incarnation, vector: state.vector }
      : { incarnation: state.incarnation, leastIncarnation: state.incarnation + 1 };
    host.newControl(memory);
    if (snapshot && !data.restore(snapshot)) throw damaged("its snapshot can't be restored");
    const base = snapshot?.seqno ?? 0;
    const end = whole ? entries.end : Math.min(entries.end, state.committed);
    // What is not whole is loaded as far as it is committed, and executed.
    if (end > base) this.load(base + 1, end, whole ? state.mode : Mode.Speculative, acceptedOf(state, end));
    if (end > base) data.commitTo(Math.min(state.committed, end));
    if (whole) {
      engine.resume(state.view, state.lastNormalView, state.mode);
    }
    data.durability = this.durability;
    this.durability.restarted(data.logEnd, stored.storage.end, whole && stored.level === DurabilityLevel.Sync ? state : undefined);
    if (snapshot) host.control().onCheckpoint(nowUs, snapshot);
    host.event({
      type: "restarted",
      replica: epochsId(this.options),
      view: state.view,
      seqno: data.logEnd,
      memory: whole ? "kept" : "lost",
    });
    if (whole) host.control().resume(nowUs);
  }

  private load(first: number, last: number, mode: number, accepted: number): void {
    const { engine, stored } = this.options;
    let records: Uint8Array[] = [];
    let hash: Uint8Array | undefined;
    let seqno = first;
    const hand = (): void => {
      const fits = engine.appendLoaded(records, mode, accepted);
      if (!fits) throw damaged(`the log up to ${last} does not fit limits.logEntries and limits.logBytes, or a record is malformed`);
      records = [];
    };
    for (const row of storedRows(stored.entries, first, last)) {
      records.push(row.record);
      hash = row.hash;
      seqno++;
      if (records.length === LoadRows) hand();
    }
    if (records.length > 0) hand();
    // Hashes are chained: the last one speaks for all.
    if (seqno !== last + 1 || !hash || hex(engine.hashAt(last)) !== hex(hash))
      throw damaged(`its log up to ${last} is not what was written`);
  }

  private state(): StoredState | undefined {
    const { data, words, epochs, engine, host } = this.options;
    const life = engine.lifeId();
    if (!life) return undefined;
    const { incarnation, vector } = host.control();
    const { id } = epochs;
    const { lastNormalView, mode } = data;
    const follows = mode === Mode.Fast && !leadsLast({ id, lastNormalView, vector });
    return {
      life: hex(life),
      id,
      lasts: this.level === DurabilityLevel.Sync,
      takesPart: data.status !== ReplicaStatus.Recovery,
      view: data.view,
      lastNormalView,
      mode,
      committed: words[StatusWord.Committed] as number,
      accepted: follows ? data.accepted : 0,
      incarnation,
      vector,
      epoch: epochs.stored,
    };
  }

  private fail(error: SquallError): void {
    this.failure = error;
    this.options.words[StatusWord.StorageFailed] = 1;
    const fatal = this.level === DurabilityLevel.Sync;
    this.options.host.event({ type: "storage-failed", replica: epochsId(this.options), fatal, message: error.message });
    if (fatal) this.options.host.stop(error);
  }
}

function epochsId({ epochs }: PersistenceOptions): number {
  return epochs.id;
}
