import { describe, expect, it } from "vitest";
import { faultKinds, planFaults } from "../../bench/chaos/plan.js";
import { Prng } from "../../dist/sim/prng.js";

const plan = (seed: number, replicas = 5, kinds = faultKinds as readonly (typeof faultKinds)[number][]) =>
  planFaults(new Prng(seed, "faults"), kinds, replicas, 60_000);

describe("a plan of faults", () => {
  it("comes from its seed alone", () => {
    expect(plan(3)).toEqual(plan(3));
    expect(plan(3)).not.toEqual(plan(4));
  });

  it("holds all kinds, one after another in each track, and ends in time", () => {
    const tracks = plan(3);
    expect(new Set(tracks.flat().map(({ kind }) => kind))).toEqual(new Set(faultKinds));
    for (const track of tracks) {
      let free = 0;
      for (const fault of track) {
        expect(fault.atMs).toBeGreaterThan(free);
        free = fault.atMs + fault.lengthMs;
      }
      expect(free).toBeLessThanOrEqual(60_000);
    }
  });

  it.each([3, 5, 7])("never kills more than f of %i", (replicas) => {
    const kills = plan(8, replicas)
      .flat()
      .filter(({ kind }) => kind === "kill" || kind === "killf");
    expect(Math.max(...kills.map((fault) => fault.replicas.length))).toBe((replicas - 1) / 2);
  });

  it("cuts both ways in a partition, one way else, and nobody from itself", () => {
    for (const { kind, cuts } of plan(5).flat()) {
      for (const { from, to } of cuts) {
        expect(from).not.toBe(to);
        expect(cuts.some((cut) => cut.from === to && cut.to === from)).toBe(kind === "partition");
      }
    }
  });

  it("keeps to the kinds it is given", () => {
    expect(
      plan(3, 3, ["pause"])
        .flat()
        .every(({ kind }) => kind === "pause"),
    ).toBe(true);
  });
});
