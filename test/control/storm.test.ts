import { describe, expect, it } from "vitest";
import { makeRecord } from "./fake-data-plane.js";
import { Group, storm } from "./group.js";

describe.each([3, 5, 7])("a group of %i replicas", (n) => {
  it("commits everywhere within one period when nothing fails", () => {
    const group = new Group({ n });
    for (let i = 1; i <= 100; i++) {
      group.request(makeRecord(1, i));
      group.runFor(200);
    }
    group.runFor(50_000);
    expect(group.problems()).toEqual([]);
    expect(group.difference()).toBeUndefined();
    expect(group.replica(0).logEnd).toBe(100);
    expect(group.replica(0).view).toBe(0);
  });

  it.each(["speculative", "adaptive", "leader"] as const)(
    "stays safe through loss, duplication, reordering, partitions and pauses, and converges afterwards: %s",
    (mode) => {
      let views = 0;
      let operations = 0;
      let switches = 0;
      for (let seed = 1; seed <= 12; seed++) {
        const group = storm({ n, seed, config: { mode } });
        expect(group.problems(), `seed ${seed}`).toEqual([]);
        group.runFor(6_000_000);
        group.multicast(makeRecord(99, 1, "after the faults"));
        group.runFor(3_000_000);
        expect(group.problems(), `seed ${seed}`).toEqual([]);
        expect(group.difference(), `seed ${seed}`).toBeUndefined();
        expect(group.accepted.has(Buffer.from(makeRecord(99, 1).subarray(0, 16)).toString("hex")), `seed ${seed}`).toBe(true);
        views += group.replica(0).view;
        operations += group.accepted.size;
        switches += group.replica(0).counts.modeSwitches;
      }
      expect(views).toBeGreaterThan(12);
      expect(operations).toBeGreaterThan(12 * 60);
      if (mode === "adaptive") expect(switches).toBeGreaterThan(12);
      else expect(switches).toBe(0);
    },
  );
});
