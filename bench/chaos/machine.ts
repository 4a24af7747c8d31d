import type { Machine } from "squall";
import { EMPTY, Kind } from "../../dist/sim/history.js";
import { OPERATION_BYTES, ResultCode, readI32, SHARED_OBJECTS, writeI32 } from "../../dist/sim/operation.js";
import { clientOfId, executionsHeadBytes, executionsKind, numberOfId, resultBytes } from "./operations.js";

/** What an operation changed, as its undoing needs it. */
interface Undo {
  id: number;
  kind: number;
  object: number;
  /** Register or counter before; the value that a dequeue took. */
  value: number;
}

/**
 * The machine under chaos: the simulator's registers, counters and queues, and besides them the seqno at which it executed each
 * operation. That table is replicated state: read at the end, it tells what became of every operation, answered or not.
 */
class ChaosMachine implements Machine {
  #registers = new Int32Array(SHARED_OBJECTS);
  #counters = new Int32Array(SHARED_OBJECTS);
  #queues: number[][] = Array.from({ length: SHARED_OBJECTS }, () => []);
  /** By client, by the operation's number: the seqno, 0 for none. */
  readonly #executions: Uint32Array[] = [];
  /** Operations that came a second time; must stay 0. */
  #twice = 0;
  readonly #journal = new Map<number, Undo>();

  speculativelyExecute(seqno: number, operation: Buffer): Uint8Array {
    if (operation[0] === executionsKind) return this.#readExecutions(operation);
    const result = Buffer.alloc(resultBytes);
    const kind = operation[0]!;
    const object = operation[1]!;
    if (operation.length < OPERATION_BYTES || kind < Kind.Read || kind > Kind.Dequeue || object >= SHARED_OBJECTS) {
      result[0] = ResultCode.Invalid;
      return result;
    }
    const undo: Undo = { id: readI32(operation, 4), kind, object, value: 0 };
    this.#note(undo.id, seqno);
    result[0] = ResultCode.Ok;
    writeI32(result, 1, this.#apply(undo, readI32(operation, 8), readI32(operation, 12)));
    result.writeUInt32LE(seqno, 5);
    this.#journal.set(seqno, undo);
    return result;
  }

  rollback(fromSeqno: number, toSeqno: number): void {
    for (let seqno = fromSeqno; seqno > toSeqno; seqno--) {
      const undo = this.#journal.get(seqno);
      if (undo === undefined) continue;
      this.#journal.delete(seqno);
      this.#undo(undo);
      this.#forget(undo.id, seqno);
    }
  }

  commit(seqno: number): void {
    for (const executed of this.#journal.keys()) {
      if (executed > seqno) return;
      this.#journal.delete(executed);
    }
  }

  snapshot(): Uint8Array {
    const words = [this.#twice, ...this.#registers, ...this.#counters];
    for (const queue of this.#queues) words.push(queue.length, ...queue);
    // Equal states, equal bytes: room for what was rolled back is no state.
    const tables = this.#executions.map(withoutTrailingZeros);
    while (tables.at(-1)?.length === 0) tables.pop();
    words.push(tables.length);
    const parts: Uint32Array[] = [Uint32Array.from(words)];
    for (const table of tables) parts.push(Uint32Array.of(table.length), table);
    return Buffer.concat(parts.map((part) => new Uint8Array(part.buffer, part.byteOffset, part.byteLength)));
  }

  restore(snapshot: Uint8Array): void {
    const words = new Int32Array(Uint8Array.from(snapshot).buffer);
    let at = 0;
    const take = (length: number) => {
      at += length;
      return words.slice(at - length, at);
    };
    const next = () => take(1)[0]!;
    this.#twice = next();
    this.#registers = take(SHARED_OBJECTS);
    this.#counters = take(SHARED_OBJECTS);
    this.#queues = Array.from({ length: SHARED_OBJECTS }, () => [...take(next())]);
    const clients = next();
    this.#executions.length = 0;
    for (let client = 0; client < clients; client++) this.#executions.push(Uint32Array.from(take(next())));
    this.#journal.clear();
  }

  #apply(undo: Undo, expected: number, argument: number): number {
    const { kind, object } = undo;
    undo.value = kind === Kind.Add ? this.#counters[object]! : this.#registers[object]!;
    switch (kind) {
      case Kind.Write:
        this.#registers[object] = argument;
        return 0;
      case Kind.CompareAndSet:
        if (undo.value !== expected) return 0;
        this.#registers[object] = argument;
        return 1;
      case Kind.Add:
        this.#counters[object] = undo.value + argument;
        return this.#counters[object]!;
      case Kind.Enqueue:
        this.#queues[object]!.push(argument);
        return 0;
      case Kind.Dequeue:
        undo.value = this.#queues[object]!.shift() ?? EMPTY;
        return undo.value;
      default:
        return undo.value;
    }
  }

  #undo({ kind, object, value }: Undo): void {
    if (kind === Kind.Write || kind === Kind.CompareAndSet) this.#registers[object] = value;
    else if (kind === Kind.Add) this.#counters[object] = value;
    else if (kind === Kind.Enqueue) this.#queues[object]!.pop();
    else if (kind === Kind.Dequeue && value !== EMPTY) this.#queues[object]!.unshift(value);
  }

  #note(id: number, seqno: number): void {
    const client = clientOfId(id);
    const number = numberOfId(id);
    while (this.#executions.length <= client) this.#executions.push(new Uint32Array(0));
    let table = this.#executions[client]!;
    if (number >= table.length) {
      const longer = new Uint32Array(Math.max(1024, 2 * table.length, number + 1));
      longer.set(table);
      this.#executions[client] = table = longer;
    }
    if (table[number] !== 0) this.#twice++;
    else table[number] = seqno;
  }

  #forget(id: number, seqno: number): void {
    const table = this.#executions[clientOfId(id)]!;
    if (table[numberOfId(id)] === seqno) table[numberOfId(id)] = 0;
    else this.#twice--;
  }

  /** A part of one client's table: how many came twice, the table's length, then the seqnos. */
  #readExecutions(operation: Buffer): Uint8Array {
    const client = operation[1]!;
    const table = this.#executions[client] ?? new Uint32Array(0);
    const from = Math.min(table.length, operation.readUInt32LE(2));
    const part = table.subarray(from, from + operation.readUInt32LE(6));
    const answer = Buffer.alloc(executionsHeadBytes + 4 * part.length);
    answer.writeUInt32LE(this.#twice, 0);
    answer.writeUInt32LE(table.length, 4);
    answer.set(new Uint8Array(part.buffer, part.byteOffset, part.byteLength), executionsHeadBytes);
    return answer;
  }
}

function withoutTrailingZeros(table: Uint32Array): Uint32Array {
  let used = table.length;
  while (used > 0 && table[used - 1] === 0) used--;
  return table.subarray(0, used);
}

export default (): Machine => new ChaosMachine();
