import { describe, expect, it } from "vitest";
import type { Membership } from "../../src/members.js";
import { planFrom } from "../../src/new-life.js";
import { type ReplicaReport, standstill } from "../../src/status.js";

const lifeId = "cd".repeat(16);

function report(part: Partial<ReplicaReport>): ReplicaReport {
  const base = {
    lifeId,
    epoch: 2,
    status: "reconciliation",
    joining: false,
    lastNormalView: 5,
    committed: 10,
    speculative: 12,
    bootId: "ab".repeat(16),
  };
  return { ...base, ...part } as ReplicaReport;
}

const blank = report({ lifeId: undefined, epoch: 0, status: "recovery", committed: 0, speculative: 0 });

const membership = (...reports: (ReplicaReport | undefined)[]): Membership => ({
  epoch: 2,
  lifeId,
  members: reports.map((one, index) => ({ address: { ip: "10.0.0.1", port: 7100 + index }, report: one })),
});

describe("a plan for a new life", () => {
  it("keeps the state of the latest view, then the one that knows most to be committed, then the longest log", () => {
    const best = (...reports: (ReplicaReport | undefined)[]) => planFrom(membership(...reports, blank, blank, blank), "best").from;
    expect(best(report({ lastNormalView: 5, committed: 50, speculative: 50 }), report({ lastNormalView: 6, speculative: 60 }))).toBe(1);
    expect(best(report({ committed: 11 }), report({ speculative: 20 }))).toBe(0);
    expect(best(report({}), report({ speculative: 20 }))).toBe(1);
  });

  it("says who joins, who is absent, and what may be lost", () => {
    const plan = planFrom(membership(blank, report({}), undefined), "best");
    expect(plan).toMatchObject({ formerLife: lifeId, epoch: 3, from: 1, committed: 10, end: 12 });
    expect(plan.replicas.map(({ role }) => role)).toEqual(["joins", "keeps", "absent"]);
    expect(plan.losses.join("\n")).toMatch(
      /10 committed entries, and 2 behind them[\s\S]*only replica 0, 2 had[\s\S]*Replica 2 \(10.0.0.1:7102\) does not answer/,
    );
  });

  it.each<[string, (ReplicaReport | undefined)[], number | "best", RegExp]>([
    ["a majority has its memory", [report({}), report({}), blank], "best", /goes on by itself/],
    ["nobody has a state", [blank, blank, report({ epoch: 1 })], "best", /no state/],
    ["the one that was asked for has none", [blank, report({}), blank], 0, /Replica 0 has no state/],
    ["fewer than a majority answer", [undefined, report({}), undefined], "best", /Only 1 of 3/],
    [
      "another has committed more",
      [report({ committed: 13, speculative: 13 }), report({}), blank, blank, blank],
      1,
      /Replica 0 has committed more/,
    ],
  ])("is refused when %s", (_, reports, from, text) => {
    expect(() => planFrom(membership(...reports), from)).toThrowError(
      expect.objectContaining({ code: "NEW_LIFE_REFUSED", message: expect.stringMatching(text) }),
    );
  });
});

it("a group stands still when no majority has its memory, and only then", () => {
  const normal = report({ status: "normal" });
  expect(standstill([normal, normal, undefined])).toBeUndefined();
  expect(standstill([normal, normal, blank])).toBeUndefined();
  expect(standstill([blank, blank, blank])).toBeUndefined();
  expect(standstill([normal, blank, blank])).toMatch(/2 of 3 replicas have lost their memory.*squall recover/);
  expect(standstill([normal, undefined, blank])).toMatch(/only 1 of 3.*1 recover, 1 do not answer/);
});
