/** A replica whose machine failed alone is heard, and counts as missing all the same. */
import { describe, expect, it } from "vitest";
import { Mode } from "../../src/data/binding.js";
import { makeRecord } from "./fake-data-plane.js";
import { Group, timing } from "./group.js";

const ms = 1000;

function group(n = 3): Group {
  return new Group({ n, config: { mode: "adaptive" } });
}

/** One request per ms at all replicas. */
function load(g: Group, forMs: number, first: number): void {
  for (let i = 0; i < forMs; i++) {
    g.request(makeRecord(1, first + i));
    g.runFor(ms);
  }
}

const modes = (g: Group) => g.data.map((data) => data.mode);

describe("a replica whose machine failed alone", () => {
  it("leads to LEADER within the detection time, and back once it executes again", () => {
    const g = group();
    load(g, 100, 1);
    g.replica(2).halted = true;
    load(g, timing.detectMs + 3 * timing.heartbeatMs, 1_000);
    expect(modes(g)).toEqual([Mode.Leader, Mode.Leader, Mode.Leader]);
    expect(g.plane(0).snapshot).toMatchObject({ silent: [2], unheard: [] });
    load(g, 3_000, 2_000);
    expect(g.replica(0).counts).toMatchObject({ reconciliations: 1, modeSwitches: 1 });
    g.replica(2).halted = false;
    load(g, 3_000, 10_000);
    expect(modes(g)).toEqual([Mode.Speculative, Mode.Speculative, Mode.Speculative]);
    g.runFor(200 * ms);
    expect(g.difference()).toBeUndefined();
    expect(g.problems()).toEqual([]);
  });

  it("is replaced where it leads, and leads no view", () => {
    const g = group();
    load(g, 100, 1);
    g.replica(0).halted = true;
    load(g, 500, 1_000);
    expect(g.replica(1)).toMatchObject({ view: 1, mode: Mode.Leader });
    g.isolate(1);
    load(g, 500, 2_000);
    // Replica 2 alone is left to lead.
    expect(g.replica(2).view % 3).toBe(2);
    expect(g.problems()).toEqual([]);
  });

  it("is no reason for anything while it lasts less than the detection time", () => {
    const g = group();
    load(g, 100, 1);
    g.replica(2).halted = true;
    load(g, timing.detectMs - timing.heartbeatMs, 1_000);
    g.replica(2).halted = false;
    load(g, 500, 2_000);
    expect(g.replica(0)).toMatchObject({ view: 0, mode: Mode.Speculative });
  });

  it("is not told from one that failed at an operation where no majority goes on", () => {
    const g = group(5);
    load(g, 100, 1);
    for (const replica of [0, 1, 2]) g.replica(replica).halted = true;
    load(g, 1_000, 1_000);
    expect(g.data.map((data) => data.view)).toEqual([0, 0, 0, 0, 0]);
  });

  it("takes nothing from a group that has its superquorum without it", () => {
    const g = group(5);
    load(g, 100, 1);
    g.replica(4).halted = true;
    load(g, 1_000, 1_000);
    expect(g.replica(0)).toMatchObject({ view: 0, mode: Mode.Speculative });
    g.paused[3] = true;
    load(g, 1_000, 3_000);
    expect(g.replica(0)).toMatchObject({ mode: Mode.Leader });
    expect(g.problems()).toEqual([]);
  });
});
