/**
 * The state machine that the simulator replicates: named registers, counters and queues in one machine, so that one run
 * exercises all. Its undo journal lies in typed arrays by sequence number. It reports what it is asked to do to a `Witness`,
 * which stands outside the system.
 */
import { createHash } from "node:crypto";
import type { Machine } from "../machine.js";
import { EMPTY, Kind } from "./history.js";
import { OBJECTS_PER_TYPE, OPERATION_BYTES, RESULT_BYTES, ResultCode, readI32, writeI32 } from "./operation.js";

/** Told of every upcall of one replica's machine. */
export interface Witness {
  /** `fingerprint` covers all operations executed up to here, byte for byte and in order. */
  executed(seqno: number, operationId: number, fingerprint: number, operation: Uint8Array): void;
  rolledBack(fromSeqno: number, toSeqno: number): void;
  committed(seqno: number): void;
  /** The state is now that at `seqno`, as another replica had it. */
  restored(seqno: number, fingerprint: number): void;
  /** A read was answered; `value` as its client gets it. */
  queried(operationId: number, value: number): void;
  violated(what: string): void;
}

/** What the run does in the middle of an upcall, after the witness. */
export interface MachineHooks {
  committed(): void;
  rolledBack(fromSeqno: number, toSeqno: number): void;
}

const JOURNAL_START = 4096;
/** Committed seqno f64, fingerprint i32. */
const SNAPSHOT_HEAD_BYTES = 12;

export class ModelMachine implements Machine {
  private readonly registers = new Int32Array(OBJECTS_PER_TYPE);
  private readonly counters = new Int32Array(OBJECTS_PER_TYPE);
  private readonly queues = Array.from({ length: OBJECTS_PER_TYPE }, () => new JournaledQueue());
  private readonly result = new Uint8Array(RESULT_BYTES);

  // The journal, a ring by seqno over the uncommitted operations: what the operation did and what was there before.
  private mask = JOURNAL_START - 1;
  private undoKind = new Uint8Array(JOURNAL_START);
  private undoObject = new Uint8Array(JOURNAL_START);
  private undoValue = new Int32Array(JOURNAL_START);
  private undoId = new Int32Array(JOURNAL_START);
  private undoFingerprint = new Int32Array(JOURNAL_START);

  private executedSeqno = 0;
  private committedSeqno = 0;
  /** By the last commit: also above an operation that threw and is gone since, of which no rollback told. */
  private toldSeqno = 0;
  private fingerprint = 0;
  /** What the next operation throws: this machine alone is at fault. */
  private illness: string | undefined;
  /** The operation that threw; 0: none. From there on it has not executed what it is told is committed. */
  private thrownAt = 0;

  constructor(
    private readonly witness?: Witness,
    private readonly hooks?: MachineHooks,
  ) {}

  failNext(why: string | undefined): void {
    this.illness = why;
  }

  /** It will throw, or has and was not rolled back since. */
  get ill(): boolean {
    return this.illness !== undefined || this.thrownAt > 0;
  }

  speculativelyExecute(seqno: number, operation: Uint8Array): Uint8Array {
    if (this.illness !== undefined) {
      const why = this.illness;
      this.illness = undefined;
      this.thrownAt = seqno;
      throw new Error(why);
    }
    // Where nothing but the failed operation is taken back, no rollback tells of it. Were it still there, its place would be empty for the witness.
    this.thrownAt = 0;
    if (seqno <= this.executedSeqno) this.witness?.violated(`seqno ${seqno} executed after ${this.executedSeqno}`);
    while (seqno - this.committedSeqno > this.mask) this.grow();
    // Entries that were no-ops never come here: their places in the journal say so.
    for (let skipped = this.executedSeqno + 1; skipped < seqno; skipped++) this.undoKind[skipped & this.mask] = 0;
    const slot = seqno & this.mask;
    this.undoFingerprint[slot] = this.fingerprint;
    this.undoId[slot] = operation.length >= OPERATION_BYTES ? readI32(operation, 4) : 0;
    this.executedSeqno = seqno;
    this.fingerprint = mix(this.fingerprint ^ seqno, operation);
    this.witness?.executed(seqno, this.undoId[slot]!, this.fingerprint, operation);
    this.apply(slot, operation);
    return this.result;
  }

  /** A read of a register, or of a counter as an addition of nothing. */
  query(operation: Uint8Array): Uint8Array {
    const kind = operation.length >= OPERATION_BYTES ? operation[0]! : 0;
    const object = operation[1]!;
    const counter = kind === Kind.Add && readI32(operation, 12) === 0;
    if ((kind !== Kind.Read && !counter) || object >= OBJECTS_PER_TYPE) {
      this.answer(ResultCode.Invalid, 0);
    } else {
      const value = counter ? this.counters[object]! : this.registers[object]!;
      this.answer(ResultCode.Ok, value);
      this.witness?.queried(readI32(operation, 4), value);
    }
    return this.result;
  }

  rollback(fromSeqno: number, toSeqno: number, operations: Uint8Array[], seqnos: number[]): void {
    if (toSeqno < this.thrownAt) this.thrownAt = 0;
    if (toSeqno < this.committedSeqno) this.witness?.violated(`rollback to ${toSeqno} below the committed ${this.committedSeqno}`);
    if (this.executedSeqno > fromSeqno) this.witness?.violated(`rollback from ${fromSeqno}, but ${this.executedSeqno} was executed`);
    let given = 0;
    for (let seqno = this.executedSeqno; seqno > toSeqno; seqno--) {
      const slot = seqno & this.mask;
      if (this.undoKind[slot] === 0) continue;
      const operation = operations[given];
      const matches =
        operation !== undefined &&
        seqnos[given] === seqno &&
        (operation.length < OPERATION_BYTES || readI32(operation, 4) === this.undoId[slot]);
      if (!matches) this.witness?.violated(`rollback hands out the wrong operation for seqno ${seqno}`);
      given++;
      this.undo(slot);
      this.fingerprint = this.undoFingerprint[slot]!;
    }
    if (given !== operations.length) this.witness?.violated(`rollback hands out ${operations.length} operations, ${given} were executed`);
    this.executedSeqno = Math.min(this.executedSeqno, toSeqno);
    this.witness?.rolledBack(fromSeqno, toSeqno);
    this.hooks?.rolledBack(fromSeqno, toSeqno);
  }

  commit(upTo: number): void {
    this.toldSeqno = upTo;
    const seqno = this.thrownAt > 0 ? Math.min(upTo, this.thrownAt - 1) : upTo;
    if (seqno < this.committedSeqno) this.witness?.violated(`commit falls from ${this.committedSeqno} to ${seqno}`);
    this.committedSeqno = seqno;
    this.witness?.committed(seqno);
    this.hooks?.committed();
  }

  /** Seqno, fingerprint, state: what is executed must be committed. */
  snapshot(): Uint8Array {
    if (this.executedSeqno > this.committedSeqno)
      this.witness?.violated(`snapshot at ${this.executedSeqno}, but ${this.committedSeqno} is committed`);
    const head = Buffer.alloc(SNAPSHOT_HEAD_BYTES);
    head.writeDoubleLE(this.toldSeqno, 0);
    head.writeInt32LE(this.fingerprint, 8);
    return Buffer.concat([head, this.state()]);
  }

  restore(snapshot: Uint8Array): void {
    const bytes = Buffer.from(snapshot.buffer, snapshot.byteOffset, snapshot.length);
    let at = SNAPSHOT_HEAD_BYTES;
    const next = () => {
      at += 4;
      return bytes.readInt32LE(at - 4);
    };
    for (let i = 0; i < OBJECTS_PER_TYPE; i++) this.registers[i] = next();
    for (let i = 0; i < OBJECTS_PER_TYPE; i++) this.counters[i] = next();
    for (const queue of this.queues) queue.replace(Array.from({ length: next() }, next));
    this.undoKind.fill(0);
    this.thrownAt = 0;
    this.executedSeqno = this.committedSeqno = this.toldSeqno = bytes.readDoubleLE(0);
    this.fingerprint = bytes.readInt32LE(8);
    this.witness?.restored(this.committedSeqno, this.fingerprint);
  }

  digest(): Uint8Array {
    return createHash("sha256").update(this.state()).digest();
  }

  /** What the objects hold. */
  state(): Uint8Array {
    const parts = [...this.registers, ...this.counters];
    for (const queue of this.queues) parts.push(queue.length, ...queue.contents());
    return new Uint8Array(Int32Array.from(parts).buffer);
  }

  private apply(slot: number, operation: Uint8Array): void {
    const kind = operation.length >= OPERATION_BYTES ? operation[0]! : 0;
    const object = operation[1]!;
    if (kind < Kind.Read || kind > Kind.Dequeue || object >= OBJECTS_PER_TYPE) {
      this.undoKind[slot] = INVALID;
      this.answer(ResultCode.Invalid, 0);
      return;
    }
    const argument = readI32(operation, 12);
    this.undoKind[slot] = kind;
    this.undoObject[slot] = object;
    this.undoValue[slot] = this.registers[object]!;
    switch (kind) {
      case Kind.Read:
        this.answer(ResultCode.Ok, this.registers[object]!);
        return;
      case Kind.Write:
        this.registers[object] = argument;
        this.answer(ResultCode.Ok, 0);
        return;
      case Kind.CompareAndSet: {
        const equal = this.registers[object] === readI32(operation, 8);
        if (equal) this.registers[object] = argument;
        this.answer(ResultCode.Ok, equal ? 1 : 0);
        return;
      }
      case Kind.Add:
        this.undoValue[slot] = this.counters[object]!;
        this.counters[object] = (this.counters[object]! + argument) | 0;
        this.answer(ResultCode.Ok, this.counters[object]!);
        return;
      case Kind.Enqueue:
        this.queues[object]!.enqueue(argument);
        this.answer(ResultCode.Ok, 0);
        return;
      default:
        this.undoValue[slot] = this.queues[object]!.dequeue();
        this.answer(ResultCode.Ok, this.undoValue[slot]!);
    }
  }

  private undo(slot: number): void {
    const object = this.undoObject[slot]!,
      value = this.undoValue[slot]!;
    switch (this.undoKind[slot]) {
      case Kind.Write:
      case Kind.CompareAndSet:
        this.registers[object] = value;
        return;
      case Kind.Add:
        this.counters[object] = value;
        return;
      case Kind.Enqueue:
        this.queues[object]!.undoEnqueue();
        return;
      case Kind.Dequeue:
        if (value !== EMPTY) this.queues[object]!.undoDequeue(value);
        return;
      default:
    }
  }

  private answer(code: number, value: number): void {
    this.result[0] = code;
    writeI32(this.result, 1, value);
  }

  private grow(): void {
    const { mask } = this;
    const size = 2 * (mask + 1);
    const copy = <T extends Uint8Array | Int32Array>(from: T, to: T): T => {
      for (let seqno = this.committedSeqno + 1; seqno <= this.executedSeqno; seqno++) to[seqno & (size - 1)] = from[seqno & mask]!;
      return to;
    };
    this.undoKind = copy(this.undoKind, new Uint8Array(size));
    this.undoObject = copy(this.undoObject, new Uint8Array(size));
    this.undoValue = copy(this.undoValue, new Int32Array(size));
    this.undoId = copy(this.undoId, new Int32Array(size));
    this.undoFingerprint = copy(this.undoFingerprint, new Int32Array(size));
    this.mask = size - 1;
  }
}

/** Journal mark of an operation that was executed but is no operation of the model. */
const INVALID = 255;

/** A FIFO queue in a growing ring; its ends can be undone. */
class JournaledQueue {
  private values = new Int32Array(64);
  private head = 0;
  private tail = 0;

  get length(): number {
    return this.tail - this.head;
  }
  enqueue(value: number): void {
    if (this.length === this.values.length) this.grow();
    this.values[this.tail++ & (this.values.length - 1)] = value;
  }
  dequeue(): number {
    return this.head === this.tail ? EMPTY : this.values[this.head++ & (this.values.length - 1)]!;
  }
  undoEnqueue(): void {
    this.tail--;
  }
  undoDequeue(value: number): void {
    if (this.length === this.values.length) this.grow();
    this.values[--this.head & (this.values.length - 1)] = value;
  }
  replace(contents: readonly number[]): void {
    this.head = this.tail = 0;
    for (const value of contents) this.enqueue(value);
  }
  contents(): number[] {
    return Array.from({ length: this.length }, (_, i) => this.values[(this.head + i) & (this.values.length - 1)]!);
  }
  private grow(): void {
    const contents = this.contents();
    this.values = new Int32Array(2 * this.values.length);
    this.values.set(contents);
    this.head = 0;
    this.tail = contents.length;
  }
}

/** FNV-1a of the bytes from a start value. */
function mix(start: number, bytes: Uint8Array): number {
  let hash = start ^ 0x811c9dc5;
  const length = Math.min(bytes.length, MIXED_BYTES);
  for (let i = 0; i < length; i++) hash = Math.imul(hash ^ bytes[i]!, 0x01000193);
  for (let i = Math.max(length, bytes.length - MIXED_BYTES); i < bytes.length; i++) hash = Math.imul(hash ^ bytes[i]!, 0x01000193);
  return Math.imul(hash ^ bytes.length, 0x01000193);
}

/** A long operation is padding in the middle: both ends are enough. */
const MIXED_BYTES = 32;
