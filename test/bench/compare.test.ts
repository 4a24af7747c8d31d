import { describe, expect, it } from "vitest";
import { compareResults, interleaved } from "../../bench/paper/compare/compare.js";
import { pairedRatio, studentQuantiles, unpairedRatio } from "../../bench/paper/compare/interval.js";
import type { RecordFile, Run } from "../../bench/paper/record.js";
import { type MadeUp, madeUpResult, normalOf, randomOf } from "../fixtures/paper-result.js";

const trials = 4_000;

describe("confidence intervals", () => {
  it("use the quantiles of Student's t", () => {
    for (const [index, quantile] of studentQuantiles.entries())
      expect(studentTail(quantile, index + 1), `${index + 1}`).toBeCloseTo(0.025, 4);
  });

  // Over 4,000 trials the share of a true 95% lies within 0.94 .. 0.96 but for one time in 270; the seed makes it the same each time.
  it("hold the true ratio 95% of the time: paired, under a drift that both sides have", () => {
    for (const rounds of [3, 5, 9]) {
      const share = coverage(1.1, rounds, pairedRatio, { noise: 0.05, drift: 0.5 });
      expect(share, `${rounds} rounds`).toBeGreaterThan(0.94);
      expect(share, `${rounds} rounds`).toBeLessThan(0.96);
    }
  });

  it("hold it at least as often unpaired, where each side has noise of its own", () => {
    for (const rounds of [3, 5, 9]) expect(coverage(0.7, rounds, unpairedRatio, { noise: 0.1, drift: 0 })).toBeGreaterThan(0.94);
  });

  it("are of the size that the textbook gives", () => {
    // Logarithms of the ratios: 0.1, 0.2, 0.3; mean 0.2, deviation 0.1, t = 4.303.
    const paired = pairedRatio([1, 1, 1], [Math.exp(0.1), Math.exp(0.2), Math.exp(0.3)])!;
    expect(Math.log(paired.ratio)).toBeCloseTo(0.2, 6);
    expect(Math.log(paired.high)).toBeCloseTo(0.2 + (4.303 * 0.1) / Math.sqrt(3), 6);
    expect(Math.log(paired.low)).toBeCloseTo(0.2 - (4.303 * 0.1) / Math.sqrt(3), 6);
  });

  it("claim nothing of fewer than three rounds, or of figures that are none", () => {
    expect(pairedRatio([1, 1], [2, 2])).toBeUndefined();
    expect(unpairedRatio([1, 1, 1], [2, 2])).toBeUndefined();
    expect(pairedRatio([1, 1, 0], [2, 2, 2])).toBeUndefined();
    expect(unpairedRatio([1, 1, 1], [2, Number.NaN, 2])).toBeUndefined();
    expect(() => pairedRatio([1, 1, 1], [2])).toThrow("paired");
  });

  it("are never narrower than the figures are exact", () => {
    const { low, high } = pairedRatio([100, 100, 100], [100, 100, 100])!;
    expect(low).toBeLessThan(1);
    expect(high).toBeGreaterThan(1);
  });
});

describe("two results", () => {
  it("by turns are paired, and a difference shows that drowns in the noise of either", () => {
    const [a, b] = byTurns({ slower: 1.05 });
    const of = comparisonsOf(a, b);
    expect(of.every(({ paired }) => paired)).toBe(true);
    const latency = of.filter(({ experiment, metric }) => experiment === "figure8" && metric === "p50Us");
    expect(latency.filter(({ verdict }) => verdict === "worse").length).toBeGreaterThan(0.9 * latency.length);
    const speed = of.filter(({ experiment, metric }) => experiment === "figure8" && metric === "opsPerSecond");
    expect(speed.filter(({ verdict }) => verdict === "worse").length).toBeGreaterThan(0.9 * speed.length);
    expect(of.filter(({ verdict }) => verdict === "better")).toEqual([]);
  });

  it("one after the other are not paired", () => {
    const a = madeUpResult({ rounds: 4, experiments: ["latency"] });
    const b = madeUpResult({ rounds: 4, experiments: ["latency"], seed: 2, startedAt: "2026-01-05T20:00:00.000Z" });
    expect(comparisonsOf(a, b).some(({ paired }) => paired)).toBe(false);
  });

  it("that are alike differ by chance alone", () => {
    const a = madeUpResult({ rounds: 5, seed: 3 });
    const b = madeUpResult({ rounds: 5, seed: 4, startedAt: "2026-01-05T20:00:00.000Z" });
    const of = comparisonsOf(a, b).filter(({ interval }) => interval !== undefined);
    expect(of.length).toBeGreaterThan(300);
    expect(of.filter(({ verdict }) => verdict !== undefined).length / of.length).toBeLessThan(0.08);
  });

  it("with too few rounds have figures, and no ratio", () => {
    const of = comparisonsOf(madeUpResult({ rounds: 2 }), madeUpResult({ rounds: 2, seed: 2 }));
    expect(of.length).toBeGreaterThan(100);
    expect(of.every(({ a, b, interval, verdict }) => a > 0 && b > 0 && interval === undefined && verdict === undefined)).toBe(true);
  });

  it("of different machines are refused, unless that is wanted", () => {
    const [a, b] = [madeUpResult({ rounds: 3 }), madeUpResult({ rounds: 3 })];
    Object.assign(b.header.machine, { fingerprint: "other", cores: 4 });
    expect(() => compareResults(a, b)).toThrow(/different machines \(cores 8 and 4\).*--different-machines/);
    expect(compareResults(a, b, true).differences).toEqual(["machine: cores 8 and 4"]);
  });

  it("name what differs in plan, length, version", () => {
    const [a, b] = [madeUpResult({ rounds: 3 }), madeUpResult({ rounds: 3, experiments: ["latency", "sizes"] })];
    Object.assign(b.header, { length: "full", squall: "0.2.0" });
    const { differences, onlyInA, onlyInB } = compareResults(a, b);
    expect(differences.map((text) => text.split(":")[0])).toEqual(["Squall", "length", "experiments"]);
    expect(onlyInA).toBeGreaterThan(50);
    expect(onlyInB).toBe(0);
  });

  it("with a wrong run are refused", () => {
    const [a, b] = [madeUpResult({ rounds: 3 }), madeUpResult({ rounds: 3 })];
    b.runs[5]!.digestsAgree = false;
    expect(() => compareResults(a, b)).toThrow("second result");
  });

  it("are by turns only if each round of both was over before the next began", () => {
    const runs = (...seconds: number[]) =>
      seconds.map((second, round) => ({ round, startedAt: new Date(second * 1000).toISOString() })) as Run[];
    expect(interleaved(runs(0, 20, 40), runs(10, 30, 50))).toBe(true);
    expect(interleaved(runs(0, 30, 40), runs(10, 20, 50))).toBe(true);
    expect(interleaved(runs(0, 10, 40), runs(11, 30, 50))).toBe(false);
    expect(interleaved(runs(0, 20), runs(10, 30, 50))).toBe(false);
    expect(interleaved(runs(0, 20, 40), runs(10, 30, 5))).toBe(false);
  });
});

function comparisonsOf(a: RecordFile, b: RecordFile) {
  return compareResults(a, b).comparisons;
}

/** Two results whose rounds took turns, on a machine whose speed changes much from round to round. */
function byTurns(ofB: MadeUp): [RecordFile, RecordFile] {
  const options = { rounds: 6, noise: 0.005, experiments: ["figure8" as const] };
  const sides = [madeUpResult({ ...options, seed: 5 }), madeUpResult({ ...options, seed: 6, ...ofB })] as const;
  const random = randomOf(7);
  const drift = Array.from({ length: options.rounds }, () => Math.exp(0.3 * normalOf(random)));
  for (const [side, { runs }] of sides.entries()) {
    for (const run of runs) {
      const { values, round } = run;
      run.startedAt = new Date(Date.UTC(2026, 0, 1) + (2 * round + side) * 600_000).toISOString();
      for (const name of ["p50Us", "p99Us", "cpuUsPerOp"] as const) values[name]! *= drift[round]!;
      for (const name of ["opsPerSecond", "capacityOpsPerSecond"] as const) values[name]! /= drift[round]!;
    }
  }
  return [...sides];
}

function coverage(ratio: number, rounds: number, interval: typeof pairedRatio, { noise, drift }: { noise: number; drift: number }): number {
  const random = randomOf(rounds);
  let held = 0;
  for (let trial = 0; trial < trials; trial++) {
    const both = Array.from({ length: rounds }, () => Math.exp(drift * normalOf(random)));
    const a = both.map((value) => value * Math.exp(noise * normalOf(random)));
    const b = both.map((value) => ratio * value * Math.exp(noise * normalOf(random)));
    const { low, high } = interval(a, b)!;
    if (low <= ratio && ratio <= high) held++;
  }
  return held / trials;
}

/** P(T > t) of Student's distribution, by Simpson's rule over its density from 0 to t. */
function studentTail(t: number, degrees: number): number {
  const density = (x: number) => (1 + (x * x) / degrees) ** (-(degrees + 1) / 2);
  // Gamma((n + 1) / 2) / Gamma(n / 2), from those of 1/2 and 1 by steps of one.
  let ratio = degrees % 2 === 1 ? 1 / Math.sqrt(Math.PI) : Math.sqrt(Math.PI) / 2;
  for (let n = degrees % 2 === 1 ? 1 : 2; n < degrees; n += 2) ratio *= (n + 1) / n;
  const steps = 2_000;
  const h = t / steps;
  let sum = density(0) + density(t);
  for (let i = 1; i < steps; i++) sum += (i % 2 === 1 ? 4 : 2) * density(i * h);
  return 0.5 - (ratio / Math.sqrt(degrees * Math.PI)) * ((sum * h) / 3);
}
