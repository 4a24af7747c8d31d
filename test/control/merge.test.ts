import { describe, expect, it } from "vitest";
import { Context } from "../../src/control/context.js";
import { type MergeLog, type MergeRow, merge, mergeRules } from "../../src/control/merge.js";
import { Guard, Mode } from "../../src/data/binding.js";
import { Prng } from "../../src/sim/prng.js";
import { FakeDataPlane } from "./fake-data-plane.js";
import { timing } from "./group.js";

/** Operations are named "session:request"; an entry's key is everything up to it, as with a summary hash. */
function log(
  replica: number,
  operations: string[],
  options: { view?: number; committed?: number; accepted?: number; mode?: number } = {},
): MergeLog<MergeRow> {
  const rows: MergeRow[] = [];
  let key = "";
  for (const operation of operations) {
    key += `/${operation}`;
    const [session, request] = operation.split(":") as [string, string];
    rows.push({ key, operation: session.padEnd(8) + request.padEnd(8) });
  }
  const { view = 0, mode = 0, committed = 0, accepted = committed } = options;
  return { replica, lastNormalView: view, mode, committed, accepted, rows };
}

function names(rows: MergeRow[]): string[] {
  return rows.map((row) => `${row.operation.slice(0, 8).trim()}:${row.operation.slice(8).trim()}`);
}

function merged(logs: MergeLog<MergeRow>[], rules = mergeRules(5)): string[] {
  const { kept, appended } = merge(0, logs, rules);
  return names([...kept, ...appended]);
}

function rulesWithout(guard: number, n: number) {
  return new Context({ replica: 0, n, timing, guardsOff: guard }, new FakeDataPlane()).mergeRules();
}

describe("the merge", () => {
  it("keeps what more than half of the logs share, then appends every other operation once", () => {
    const result = merge(0, [log(0, ["a:1", "b:1", "c:1"]), log(1, ["a:1", "c:1"]), log(2, ["a:1", "b:1", "d:1"])], mergeRules(5));
    expect(names(result.kept)).toEqual(["a:1", "b:1"]);
    expect(names(result.appended)).toEqual(["c:1", "d:1"]);
  });

  it("merges only the logs with the highest last normal view", () => {
    const logs = [log(0, ["a:1", "b:1"], { view: 1 }), log(1, ["a:1", "b:1"], { view: 1 }), log(2, ["c:1"], { view: 2 })];
    expect(merged(logs)).toEqual(["c:1"]);
    expect(merged(logs, rulesWithout(Guard.MergeHighestViews, 3)).slice(0, 2)).toEqual(["a:1", "b:1"]);
  });

  it("takes its threshold from K, not from all the logs received", () => {
    // n = 3: replica 2 alone was in view 1, whose START-VIEW log z, a may be committed.
    const logs = [log(0, ["b:1"], { view: 0 }), log(2, ["z:1", "a:1"], { view: 1 })];
    expect(merged(logs, mergeRules(3))).toEqual(["z:1", "a:1"]);
    expect(merged(logs, rulesWithout(Guard.MergeThreshold, 3))).toEqual(["a:1", "z:1"]);
  });

  it("takes no constant threshold: with five logs two are no majority", () => {
    // n = 5: a majority holds x, and nobody else's y may take its place for coming first.
    const logs = [log(0, ["y:1"]), log(1, ["y:1"]), log(2, ["x:1"]), log(3, ["x:1"]), log(4, ["x:1"])];
    expect(merged(logs)[0]).toBe("x:1");
    expect(merged(logs, rulesWithout(Guard.MergeThresholdConstant, 5))[0]).toBe("y:1");
  });

  it("starts with the longest committed prefix of K", () => {
    const logs = [log(0, ["b:1"]), log(1, ["z:1", "a:1"], { committed: 2 }), log(2, [])];
    expect(merged(logs)).toEqual(["z:1", "a:1", "b:1"]);
    expect(merged(logs, rulesWithout(Guard.CommittedPrefix, 5)).slice(0, 2)).not.toEqual(["z:1", "a:1"]);
  });

  it("takes the longest log when the highest view was a LEADER view", () => {
    const logs = [
      log(0, ["a:1"], { view: 4, mode: 1 }),
      log(1, ["a:1", "b:1"], { view: 4, mode: 1 }),
      log(2, ["c:1", "d:1", "e:1"], { view: 3 }),
    ];
    expect(merged(logs)).toEqual(["a:1", "b:1"]);
  });

  it("stops at the first position without a majority, although later ones would have one", () => {
    const result = merge(0, [log(0, ["a:1", "b:1"]), log(1, ["b:1", "a:1"])], mergeRules(3));
    expect(result.kept).toEqual([]);
    expect(names(result.appended)).toEqual(["a:1", "b:1"]);
  });

  it("appends operations that stand at a position which another entry keeps", () => {
    const result = merge(0, [log(0, ["a:1", "b:1"]), log(1, ["c:1"]), log(2, ["a:1", "b:1"])], mergeRules(3));
    expect(names(result.kept)).toEqual(["a:1", "b:1"]);
    expect(names(result.appended)).toEqual(["c:1"]);
  });

  it("counts positions from the base", () => {
    const rows = log(0, ["a:1", "b:1"]).rows;
    const logs = [
      { replica: 0, lastNormalView: 0, mode: 0, committed: 11, accepted: 11, rows },
      { replica: 1, lastNormalView: 0, mode: 0, committed: 10, accepted: 10, rows: [] },
    ];
    expect(names(merge(10, logs, mergeRules(3)).kept)).toEqual(["a:1"]);
  });

  it("does not depend on the order of arrival", () => {
    const prng = new Prng(3, "merge");
    for (let round = 0; round < 200; round++) {
      const logs = [0, 1, 2, 3, 4].map((replica) => {
        const operations = ["a:1", "a:2", "a:3", "b:1", "b:2", "c:1"].filter(() => prng.unit() < 0.7);
        for (let i = operations.length - 1; i > 0; i--) {
          const j = prng.unit() < 0.3 ? prng.u32() % (i + 1) : i;
          [operations[i], operations[j]] = [operations[j] as string, operations[i] as string];
        }
        return log(replica, operations, { view: prng.u32() % 2 });
      });
      const expected = merged(logs);
      expect(merged([...logs].reverse())).toEqual(expected);
      expect(merged([...logs.slice(2), ...logs.slice(0, 2)])).toEqual(expected);
      expect(new Set(expected).size).toBe(expected.length);
    }
  });
});

describe("the merge of FAST logs", () => {
  const fast = Mode.Fast;

  it("starts with the longest accepted prefix, also against a majority that voted otherwise", () => {
    const logs = [
      log(0, ["a:1", "b:1"], { mode: fast, accepted: 1 }),
      log(1, ["b:1", "a:1"], { mode: fast }),
      log(2, ["b:1", "a:1"], { mode: fast }),
    ];
    expect(names(merge(0, logs, mergeRules(5)).kept)).toEqual(["a:1"]);
    expect(merged(logs)).toEqual(["a:1", "b:1"]);
    expect(merged(logs, { ...mergeRules(5), committedPrefix: false })).toEqual(["b:1", "a:1"]);
  });

  it("goes on with what more than half of them share behind it", () => {
    const shared = ["a:1", "b:1", "c:1"];
    const logs = [
      log(0, shared, { mode: fast, accepted: 1 }),
      log(1, shared, { mode: fast }),
      log(2, ["a:1", "c:1", "b:1"], { mode: fast }),
    ];
    const { kept, appended } = merge(0, logs, mergeRules(5));
    expect([names(kept), names(appended)]).toEqual([shared, []]);
  });

  it("takes the accepted prefix of the last view alone", () => {
    const logs = [
      log(0, ["a:1"], { mode: fast, view: 3, accepted: 1 }),
      log(1, ["b:1"], { mode: fast, view: 4 }),
      log(2, [], { mode: fast, view: 4 }),
    ];
    expect(merged(logs)).toEqual(["b:1"]);
  });
});

describe("the order of appended operations", () => {
  it("keeps each session's own order where the logs agree on it", () => {
    expect(merged([log(0, ["a:2", "b:1"]), log(1, ["a:1", "a:2"]), log(2, ["b:2"])])).toEqual(["a:1", "a:2", "b:2", "b:1"]);
  });

  it("is by position where two logs disagree about a session", () => {
    expect(merged([log(0, ["a:4", "a:3"]), log(1, ["a:3", "a:1", "a:4"])])).toEqual(["a:3", "a:1", "a:4"]);
  });

  it("holds every operation once, also where three logs form a circle", () => {
    const result = merged([log(0, ["a:1", "a:2"]), log(1, ["a:2", "a:3"]), log(2, ["a:3", "a:1"])]);
    expect([...result].sort()).toEqual(["a:1", "a:2", "a:3"]);
  });

  it("lets the first in merged order win where one identity names different bytes", () => {
    const first = { ...log(0, ["a:1"]), rows: [{ key: "one", operation: "a       1       " }] };
    const second = { ...log(1, ["a:1"]), rows: [{ key: "two", operation: "a       1       " }] };
    const { appended } = merge(0, [second, first], mergeRules(3));
    expect(appended.map((row) => row.key)).toEqual(["one"]);
  });
});
