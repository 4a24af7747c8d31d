import { describe, expect, it } from "vitest";
import type { ClientHistory } from "../../bench/chaos/calls.js";
import { judge } from "../../bench/chaos/judge.js";
import { Kind, NEVER } from "../../src/sim/history.js";

interface Step {
  kind: Kind;
  argument?: number;
  result?: number;
  /** Invocation and response. */
  at: [number, number];
  seqno?: number;
  refused?: boolean;
}

function client(...steps: Step[]): ClientHistory {
  return {
    kind: Uint8Array.from(steps, (step) => step.kind),
    object: new Uint16Array(steps.length),
    argument: Int32Array.from(steps, (step) => step.argument ?? 0),
    expected: new Int32Array(steps.length),
    result: Int32Array.from(steps, (step) => step.result ?? 0),
    invokedAt: Float64Array.from(steps, (step) => step.at[0]),
    respondedAt: Float64Array.from(steps, (step) => step.at[1]),
    seqno: Float64Array.from(steps, (step) => step.seqno ?? 0),
    refused: Uint8Array.from(steps, (step) => (step.refused ? 1 : 0)),
    unanswered: 0,
    failures: {},
    wrong: [],
  };
}

const state = (seqnos: number[][], twice = 0) => ({ twice, seqnos: seqnos.map((row) => Uint32Array.from(row)) });

describe("the verdict on a history", () => {
  const writer = client({ kind: Kind.Write, argument: 7, at: [0, 10], seqno: 1 }, { kind: Kind.Read, result: 8, at: [30, 40], seqno: 3 });
  const unsure = client({ kind: Kind.Write, argument: 8, at: [5, NEVER] });

  it("takes operations with unknown outcome for executed where the state says so", () => {
    const verdict = judge([writer, unsure], state([[1, 3], [2]]));
    expect(verdict).toMatchObject({ operations: 3, acknowledged: 2, unknown: 1, unknownExecuted: 1, lost: 0, violations: [] });
    expect(verdict.linearizable).toMatchObject({ linearizable: true, searched: 0 });
    expect(verdict.longestGapMs).toBeCloseTo(0.03);
  });

  it("finds a read that no order explains", () => {
    const verdict = judge([writer, unsure], state([[1, 3], [0]]));
    // An unknown outcome may still have taken effect, as far as clients can tell: only the state of a third client decides.
    expect(verdict.linearizable.linearizable).toBe(true);
    const stale = client({ kind: Kind.Write, argument: 7, at: [0, 10], seqno: 1 }, { kind: Kind.Read, result: 0, at: [30, 40], seqno: 2 });
    const wrong = judge([stale], state([[1, 2]]));
    expect(wrong.linearizable.linearizable).toBe(false);
    expect(wrong.violations[0]).toMatch(/not linearizable: register 0/);
  });

  it("finds what was acknowledged and is gone or elsewhere", () => {
    expect(judge([writer, unsure], state([[1, 0], [2]]))).toMatchObject({
      lost: 1,
      violations: [expect.stringMatching(/not in the state/)],
    });
    expect(judge([writer, unsure], state([[1, 4], [2]]))).toMatchObject({
      lost: 1,
      violations: [expect.stringMatching(/in the state at 4/)],
    });
  });

  it("finds what was executed twice, against a refusal, or without anybody's asking", () => {
    expect(judge([writer, unsure], state([[1, 3], [2]], 1))).toMatchObject({
      duplicated: 1,
      violations: ["1 operations were executed twice"],
    });
    const refused = client({ kind: Kind.Add, argument: 1, at: [0, NEVER], refused: true });
    expect(judge([refused], state([[1]])).violations).toEqual([expect.stringMatching(/told otherwise/)]);
    expect(judge([refused], state([[0]])).violations).toEqual([]);
    expect(judge([refused], state([[0, 5]])).violations).toEqual([expect.stringMatching(/never sent/)]);
  });
});
