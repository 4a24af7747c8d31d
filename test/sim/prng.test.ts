import { expect, it } from "vitest";
import { Prng } from "../../src/sim/prng.js";

const draw = (prng: Prng, count = 8) => Array.from({ length: count }, () => prng.u32());

it("gives the same stream for the same seed and name, and another for another", () => {
  expect(draw(new Prng(7, "a"))).toEqual(draw(new Prng(7, "a")));
  expect(draw(new Prng(7, "a"))).not.toEqual(draw(new Prng(8, "a")));
  expect(draw(new Prng(7, "a"))).not.toEqual(draw(new Prng(7, "b")));
});

it("uses all 53 bits of the seed", () => {
  expect(draw(new Prng(1, "a"))).not.toEqual(draw(new Prng(1 + 2 ** 40, "a")));
});

it("splits into streams that do not depend on what was drawn before", () => {
  const parent = new Prng(3, "run");
  const before = draw(parent.split("child"));
  draw(parent, 100);
  expect(draw(parent.split("child"))).toEqual(before);
});

it("stays within bounds and reaches both ends", () => {
  const prng = new Prng(4, "bounds");
  const seen = new Set<number>();
  for (let i = 0; i < 10_000; i++) {
    seen.add(prng.between(3, 6));
    const spread = prng.spread(10, 1_000);
    expect(spread).toBeGreaterThanOrEqual(10);
    expect(spread).toBeLessThanOrEqual(1_000);
    expect(prng.below(1)).toBe(0);
  }
  expect([...seen].sort()).toEqual([3, 4, 5, 6]);
});

it("is uniform enough: 16 buckets of 160,000 draws", () => {
  const prng = new Prng(5, "uniform");
  const buckets = new Array<number>(16).fill(0);
  for (let i = 0; i < 160_000; i++) buckets[prng.below(16)]!++;
  for (const count of buckets) expect(Math.abs(count - 10_000)).toBeLessThan(500);
});
