import { describe, expect, it } from "vitest";
import { Consistency } from "../../src/data/binding.js";
import { Kind } from "../../src/sim/history.js";
import { ModelMachine } from "../../src/sim/model-machine.js";
import { encodeOperation, OPERATION_BYTES } from "../../src/sim/operation.js";
import { type AcceptedRead, ReadOracle } from "../../src/sim/read-oracle.js";

/** Judges one read after a committed history of three additions of 5 to counter 0, one at each seqno; 0 is the empty history. */
function judge(read: Partial<AcceptedRead>, answered = true): string[] {
  const violations: string[] = [];
  const oracle = new ReadOracle((what) => void violations.push(what));
  const accepted: AcceptedRead = {
    id: oracle.nextId(),
    consistency: Consistency.Linearizable,
    kind: Kind.Add,
    object: 0,
    leastSeqno: 0,
    seqno: 2,
    value: 10,
    ...read,
  };
  if (answered) oracle.answered(accepted.id, accepted.value);
  oracle.accepted(accepted);
  const machine = new ModelMachine();
  const bytes = Buffer.alloc(OPERATION_BYTES);
  encodeOperation(bytes, { kind: Kind.Add, object: 0, client: 0, id: 1, argument: 5, expected: 0 });
  for (let seqno = 1; seqno <= 3; seqno++) {
    oracle.replayed(seqno - 1, machine);
    machine.speculativelyExecute(seqno, bytes);
  }
  oracle.replayed(3, machine);
  oracle.finish();
  return violations;
}

describe.each([Consistency.Linearizable, Consistency.Session])("a read of level %i", (consistency) => {
  it("may show any committed state that its client has not gone past", () => {
    expect(judge({ consistency })).toEqual([]);
    expect(judge({ consistency, seqno: 0, value: 0 })).toEqual([]);
    expect(judge({ consistency, seqno: 3, value: 15, leastSeqno: 3 })).toEqual([]);
    expect(judge({ consistency, kind: Kind.Read, value: 0 })).toEqual([]);
  });

  it("may show nothing else", () => {
    expect(judge({ consistency, value: 5 })).toEqual([expect.stringMatching(/the committed history has 10/)]);
    expect(judge({ consistency, leastSeqno: 3 })).toEqual([expect.stringMatching(/had seen 3/)]);
    expect(judge({ consistency, seqno: 4, value: 20 })).toEqual([expect.stringMatching(/never committed/)]);
    expect(judge({ consistency }, false)).toEqual([expect.stringMatching(/no machine said/)]);
  });
});

it("a stale read may show what some machine said, and nothing else", () => {
  const consistency = Consistency.Stale;
  expect(judge({ consistency, value: 7, leastSeqno: 3, seqno: 9 })).toEqual([]);
  expect(judge({ consistency }, false)).toEqual([expect.stringMatching(/no machine said/)]);
});
