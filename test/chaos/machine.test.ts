import { describe, expect, it } from "vitest";
import makeMachine from "../../bench/chaos/machine.js";
import { decodeExecutions, decodeResult, encodeExecutionsRead, idOf } from "../../bench/chaos/operations.js";
import type { Machine } from "../../src/machine.js";
import { Kind } from "../../src/sim/history.js";
import { encodeOperation, OPERATION_BYTES } from "../../src/sim/operation.js";
import { Prng } from "../../src/sim/prng.js";

const snapshotOf = (machine: Machine) => machine.snapshot!() as Uint8Array;
const context = { timeMs: 0, random: () => 0 };

function operation(id: number, kind: Kind, argument = 0, expected = 0): Buffer {
  const bytes = Buffer.alloc(OPERATION_BYTES);
  encodeOperation(bytes, { kind, object: 1, client: 0, id, argument, expected });
  return bytes;
}

function randomOperation(prng: Prng, number: number): Buffer {
  return operation(idOf(prng.below(3), number), (1 + prng.below(6)) as Kind, 1 + prng.below(5), prng.below(5));
}

describe("the machine under chaos", () => {
  it("answers with value and seqno", () => {
    const machine = makeMachine();
    const run = (seqno: number, bytes: Buffer) => decodeResult(Buffer.from(machine.speculativelyExecute(seqno, bytes, context)!));
    expect(run(4, operation(idOf(0, 0), Kind.Add, 5))).toEqual({ value: 5, seqno: 4 });
    expect(run(5, operation(idOf(0, 1), Kind.CompareAndSet, 9, 0))).toEqual({ value: 1, seqno: 5 });
    expect(run(6, operation(idOf(0, 2), Kind.Read))).toEqual({ value: 9, seqno: 6 });
    expect(run(7, operation(idOf(0, 3), Kind.Dequeue))).toEqual({ value: -1, seqno: 7 });
  });

  it("is after any rollback as if nothing had been executed, and after restore as if all had", () => {
    const prng = new Prng(11, "machine");
    const machine = makeMachine();
    let seqno = 0;
    for (let round = 0; round < 50; round++) {
      const before = snapshotOf(machine);
      const from = seqno;
      for (let i = 0; i < 10; i++) machine.speculativelyExecute(++seqno, randomOperation(prng, seqno), context);
      const after = Buffer.from(snapshotOf(machine));
      machine.rollback(seqno, from, [], []);
      expect(Buffer.compare(snapshotOf(machine), before)).toBe(0);
      const copy = makeMachine();
      copy.restore!(after);
      expect(Buffer.compare(snapshotOf(copy), after)).toBe(0);
      machine.restore!(after);
      machine.commit!(seqno);
    }
  });

  it("knows what it executed, where, and what came twice", () => {
    const machine = makeMachine();
    const read = () => decodeExecutions(Buffer.from(machine.speculativelyExecute(99, encodeExecutionsRead(2, 0), context)!));
    machine.speculativelyExecute(1, operation(idOf(2, 0), Kind.Read), context);
    machine.speculativelyExecute(2, operation(idOf(2, 1), Kind.Add, 1), context);
    expect([...read().seqnos.slice(0, 3)]).toEqual([1, 2, 0]);
    machine.speculativelyExecute(3, operation(idOf(2, 1), Kind.Add, 1), context);
    expect(read().twice).toBe(1);
    machine.rollback(3, 1, [], []);
    expect(read().twice).toBe(0);
    expect([...read().seqnos.slice(0, 3)]).toEqual([1, 0, 0]);
  });
});
