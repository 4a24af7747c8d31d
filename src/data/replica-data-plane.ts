/** The data plane as the control plane sees it: the native engine's verbs with the machine's upcalls in their places. */
import type { ControlCounter, ControlEvent, DataPlane, HashRun } from "../control/data-plane.js";
import type { FetchReplyMessage } from "../control/messages.js";
import type { Snapshot } from "../control/snapshot.js";
import type { NativeBinding, NativeReplicaEngine } from "./binding.js";
import { StatusWord } from "./binding.js";
import { CheckpointKeeper, verifySnapshot } from "./checkpoints.js";
import type { Durability } from "./durability/durability.js";
import { chainRuns, OffThreadBytes } from "./hashing.js";
import type { MachineHost } from "./machine-host.js";

// Of one message each; what comes beyond is hashed at once, so that no more memory is held than a few messages.
const MostHashings = 4;

const counterWords: Record<ControlCounter, number> = {
  syncs: StatusWord.SyncsSent,
  reconciliations: StatusWord.Reconciliations,
  modeSwitches: StatusWord.ModeSwitches,
};

export interface DataPlaneHooks {
  onInstalled(view: number, rolledBack: number, installed: number): void;
  /** A checkpoint was taken. */
  onCheckpoint(snapshot: Snapshot): void;
  onCheckpointRefused(seqno: number, error: unknown): void;
  /** The state was replaced by a snapshot. */
  onRestored(snapshot: Snapshot): void;
  /** What verify() put off. */
  onVerified(snapshot: Snapshot, valid: boolean): void;
  /** What hashLater() put off. */
  onHashed(from: number, message: FetchReplyMessage): void;
  onEvent(event: ControlEvent): void;
  onFail(message: string): void;
}

export interface ReplicaDataPlaneOptions {
  binding: NativeBinding;
  engine: NativeReplicaEngine;
  machine: MachineHost;
  words: Float64Array;
  logEntries: number;
  logBytes: number;
  /** Entries between checkpoints; 0: none. */
  checkpointEvery: number;
  /** No hashing on other threads. */
  hashInPlace: boolean;
  hooks: DataPlaneHooks;
}

export class ReplicaDataPlane implements DataPlane {
  readonly keeper: CheckpointKeeper;
  /** Where state and log go to disk; undefined: nowhere. */
  durability: Durability | undefined;
  readonly #binding: NativeBinding;
  readonly #engine: NativeReplicaEngine;
  readonly #machine: MachineHost;
  readonly #words: Float64Array;
  readonly logEntries: number;
  readonly #logBytes: number;
  readonly #hashInPlace: boolean;
  readonly #hooks: DataPlaneHooks;
  /** Messages whose records are being hashed on other threads. */
  #hashing = 0;

  constructor(options: ReplicaDataPlaneOptions) {
    const { engine, machine, words, hooks, hashInPlace } = options;
    this.logEntries = options.logEntries;
    this.#logBytes = options.logBytes;
    this.#binding = options.binding;
    this.#engine = engine;
    this.#machine = machine;
    this.#words = words;
    this.#hashInPlace = hashInPlace;
    this.#hooks = hooks;
    this.keeper = new CheckpointKeeper({
      engine,
      machine,
      words,
      every: options.checkpointEvery,
      logFill: () => this.logFill,
      inPlace: hashInPlace,
      rollBack: (toSeqno) => this.#rollBackMachine(toSeqno),
      taken: (snapshot) => this.#taken(snapshot),
      refused: (seqno, error) => hooks.onCheckpointRefused(seqno, error),
      fail: (message) => hooks.onFail(message),
    });
  }

  get lifeId(): Uint8Array | undefined {
    return this.#engine.lifeId();
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
  get accepted(): number {
    return this.#words[StatusWord.Accepted] as number;
  }
  get committed(): number {
    return this.#words[StatusWord.Committed] as number;
  }
  get durableEnd(): number {
    return this.#words[this.#waits ? StatusWord.Durable : StatusWord.LogEnd] as number;
  }
  get diskDelayUs(): number {
    return this.durability?.delayUs ?? 0;
  }
  get viewDurable(): boolean {
    return this.durability?.viewDurable ?? true;
  }
  get logBase(): number {
    return this.#words[StatusWord.LogBase] as number;
  }
  get logFill(): number {
    return Math.max((this.logEnd - this.logBase) / this.logEntries, (this.#words[StatusWord.LogBytes] as number) / this.#logBytes);
  }
  get halted(): boolean {
    return this.#words[StatusWord.Halted] === 1;
  }
  get loopDelayUs(): number {
    return this.#words[StatusWord.LoopDelayUs] as number;
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
  get #waits(): boolean {
    return this.durability?.waits === true;
  }
  speak(version: number): void {
    this.#engine.speak(version);
  }
  freeze(view: number): void {
    this.#engine.freeze(view);
  }

  install(view: number, mode: number, keepTo: number, records: Uint8Array[]): void {
    const rolledBack = this.#rollBackMachine(keepTo);
    this.durability?.replacing();
    this.#engine.install(view, mode, keepTo, records);
    this.durability?.replaced(keepTo);
    this.commitExecuted();
    this.#hooks.onInstalled(view, rolledBack, records.length);
  }

  installSnapshot(view: number, mode: number, snapshot: Snapshot, records: Uint8Array[]): boolean {
    if (!this.#restore(snapshot)) return false;
    this.durability?.replacing();
    this.#engine.install(view, mode, snapshot.seqno, records);
    this.durability?.replaced(snapshot.seqno);
    this.commitExecuted();
    this.#hooks.onInstalled(view, 0, records.length);
    return true;
  }

  restore(snapshot: Snapshot): boolean {
    return this.#restore(snapshot);
  }

  setLife(lifeId: Uint8Array): boolean {
    return this.#engine.setLife(lifeId);
  }

  hearRequests(wanted: boolean): void {
    this.#engine.hearRequests(wanted);
  }

  committedRun(from: number, to: number, maxBytes: number, room: Uint8Array): Uint8Array {
    return this.#engine.committedRun(from, to, maxBytes, room);
  }

  appendRun(run: Uint8Array, hashes: Uint8Array | undefined): number {
    const appended = this.#engine.appendRun(run, hashes);
    this.commitExecuted();
    return appended;
  }

  verify(snapshot: Snapshot): boolean | undefined {
    return verifySnapshot(snapshot, this.#hashInPlace, (valid) => this.#hooks.onVerified(snapshot, valid));
  }

  hashLater(from: number, message: FetchReplyMessage, runs: readonly HashRun[]): boolean {
    const bytes = runs.reduce((sum, run) => run.records.reduce((all, { record }) => all + record.length, sum), 0);
    if (this.#hashInPlace || bytes < OffThreadBytes || this.#hashing >= MostHashings) return false;
    this.#hashing++;
    chainRuns(this.#binding, runs)
      // Without the threads it is done here, when the message comes again: every record's `chained` only says what is known.
      .catch(() => undefined)
      .then(() => {
        this.#hashing--;
        if ("records" in message) message.hashed = true;
        this.#hooks.onHashed(from, message);
      });
    return true;
  }

  truncate(seqno: number): void {
    this.durability?.beforeTruncation();
    this.#engine.truncate(seqno);
  }

  commitTo(seqno: number): void {
    this.#engine.commitTo(seqno);
    this.commitExecuted();
  }

  /** The machine's commit upcall follows execution, never runs ahead of it, and does not pass a checkpoint that is due. */
  commitExecuted(): void {
    const seqno = Math.min(this.committed, this.executed);
    this.keeper.advance(seqno);
    this.#machine.commit(seqno);
  }

  answer(fromSeqno: number, toSeqno: number): void {
    this.#engine.answer(fromSeqno, toSeqno);
  }
  send(to: number, type: number, body: Uint8Array): void {
    if (this.durability?.holds(to, type, body) !== true) this.#engine.send(to, type, body);
  }
  fail(message: string): void {
    this.#hooks.onFail(message);
  }
  event(event: ControlEvent): void {
    this.#hooks.onEvent(event);
  }
  count(counter: ControlCounter): void {
    const word = counterWords[counter];
    this.#words[word] = (this.#words[word] as number) + 1;
  }
  prepareAgain(to: number): void {
    this.#engine.prepareAgain(to);
  }
  prepareStats(): Float64Array {
    return this.#engine.prepareStats();
  }

  #taken(snapshot: Snapshot): void {
    this.#words[StatusWord.Checkpoint] = snapshot.seqno;
    this.durability?.taken(snapshot);
    this.#hooks.onCheckpoint(snapshot);
  }

  #restore(snapshot: Snapshot): boolean {
    const { seqno, position, sessions, machine } = snapshot;
    if (!this.#engine.restore(seqno, position, sessions)) {
      this.#hooks.onFail(
        `the snapshot at ${seqno} can't be restored: its session table is malformed, or of a release that this one does not understand`,
      );
      return false;
    }
    this.durability?.restored(snapshot);
    this.keeper.reset();
    if (!this.#machine.restore(seqno, machine)) return false;
    this.#words[StatusWord.Checkpoint] = seqno;
    this.#hooks.onRestored(snapshot);
    return true;
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
