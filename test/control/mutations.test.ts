/**
 * Each rule of the control plane that has a guard: with the guard switched off the random network finds a violation. CommittedPrefix
 * is not among them: with the other rules in force what is committed has its majority of K anyway (merge.test.ts covers it).
 */
import { describe, expect, it } from "vitest";
import { Guard } from "../../src/data/binding.js";
import { type Group, type GroupOptions, storm } from "./group.js";
import { sparse } from "./sparse.js";

const adaptive = (options: GroupOptions): Group => stormy({ ...options, config: { mode: "adaptive" } });

const stormy = (options: GroupOptions): Group => {
  const group = storm({ ...options, operations: 40 });
  group.runFor(5_000_000);
  return group;
};

function problems(profile: (options: GroupOptions) => Group, options: GroupOptions): string[] {
  try {
    const group = profile(options);
    const difference = group.difference();
    return difference === undefined || profile === sparse || profile === losing ? group.problems() : [...group.problems(), difference];
  } catch (error) {
    return [String(error)];
  }
}

const losing = (options: GroupOptions): Group => sparse({ ...options, crashes: true, config: { mode: "adaptive" } });

const Seeds = 40;

describe.each([
  ["LastNormalView", 3, sparse, 40],
  ["CommitAcrossViews", 5, sparse, 50],
  ["MergeThreshold", 3, stormy, 1000],
  ["MergeThresholdConstant", 5, stormy, 1000],
  ["MergeHighestViews", 3, stormy, 1000],
  ["MergeOnce", 3, stormy, 1000],
  ["InstallOnce", 3, stormy, 1000],
  ["CompleteReconcile", 3, stormy, 1000],
  ["CommitHash", 5, stormy, 1000],
  ["MergeMode", 5, adaptive, 1020],
  ["RecoverySilence", 5, losing, 1000],
] as const)("%s, with %i replicas", (name, n, profile, firstSeed) => {
  it(`is noticed within ${Seeds} seeds when it is switched off, and the same seed passes with it`, () => {
    for (let seed = firstSeed; seed < firstSeed + Seeds; seed++) {
      if (problems(profile, { n, seed, guardsOff: Guard[name] }).length === 0) continue;
      expect(problems(profile, { n, seed })).toEqual([]);
      return;
    }
    expect.fail(`not noticed in seeds ${firstSeed} to ${firstSeed + Seeds - 1}`);
  });
});

it("few operations and many views are safe", () => {
  for (const n of [3, 5]) for (let seed = 1; seed <= 10; seed++) expect(problems(sparse, { n, seed }), `seed ${seed}`).toEqual([]);
});
