import type { ReplicaReport } from "squall";
import { describe, expect, it } from "vitest";
import { differencesOf } from "../../bench/convergence.js";
import { slope } from "../../bench/endurance/memory.js";
import { longestGapMs, timeline } from "../../bench/load/load.js";

describe("figures of the benchmarks", () => {
  it("find the longest gap that touches a stretch of time", () => {
    const gaps = Float64Array.of(10, 15, 20, 120, 130, 133);
    expect(longestGapMs({ gaps }, 0, 200)).toBe(100);
    expect(longestGapMs({ gaps }, 119, 200)).toBe(100);
    expect(longestGapMs({ gaps }, 120, 200)).toBe(3);
    expect(longestGapMs({ gaps }, 0, 20)).toBe(5);
    expect(longestGapMs({ gaps }, 140, 200)).toBe(0);
  });

  it("put results on a timeline, whole steps only", () => {
    const buckets = Uint32Array.of(1, 2, 3, 4, 5);
    expect(timeline({ buckets }, 20)).toEqual([
      { seconds: 0, opsPerSecond: 150 },
      { seconds: 0.02, opsPerSecond: 350 },
    ]);
  });

  it("fit a line", () => {
    expect(
      slope([
        [0, 10],
        [1, 13],
        [2, 14],
        [3, 19],
      ]),
    ).toBeCloseTo(2.8);
  });
});

describe("replicas at the end of a run", () => {
  const normal = {
    status: "normal",
    speculative: 7,
    executed: 7,
    committed: 7,
    hash: "a",
    committedHash: "a",
    digest: "d",
  } as ReplicaReport;
  const three = (other: Partial<ReplicaReport>) => [
    { ...normal, id: 0 },
    { ...normal, id: 1 },
    { ...normal, id: 2, ...other },
  ];

  it("agree, or differ in something", () => {
    expect(differencesOf(three({}))).toBe("");
    expect(differencesOf([...three({}).slice(0, 2), undefined])).toBe("replica 2 does not answer");
    expect(differencesOf(three({ status: "recovery" }))).toBe("replica 2 is in status recovery");
    expect(differencesOf(three({ broken: "it" }))).toBe("replica 2: it");
    expect(differencesOf(three({ digest: "e" }))).toBe("digest: d / d / e");
    expect(differencesOf(three({ hash: "b" }))).toContain("hash: a / a / b");
    const uncommitted = { committed: 6, committedHash: "c" };
    expect(differencesOf(three({}).map((report) => ({ ...report, ...uncommitted })))).toContain("committed: 6 of 7");
  });
});
