/** Small groups searched to the end; and rules that are switched off in a test build, whose absence the search finds. */
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { Guard, ReplicaStatus } from "../../src/data/binding.js";
import { loadBinding } from "../../src/data/load.js";
import { type ExploreOptions, explore, search } from "../../src/explore/explore.js";
import { World } from "../../src/explore/world.js";

const mutations = loadBinding(fileURLToPath(new URL("../../build/Mutations/squall.node", import.meta.url)));

function run(options: Partial<ExploreOptions>) {
  return explore({
    binding: mutations,
    replicas: 3,
    ops: 1,
    crashes: 0,
    views: 1,
    mode: "speculative",
    guardsOff: 0,
    maxStates: 1e7,
    maxMs: 600_000,
    ...options,
  });
}

describe("with every rule in force, all states are as they should be", () => {
  it("three replicas, one operation, views 0 and 1", { timeout: 120_000 }, () => {
    const { exhausted, violations, states, replicaStates } = run({});
    expect(violations).toEqual([]);
    expect(exhausted).toBe(true);
    expect(states).toBeGreaterThan(300);
    expect(replicaStates).toBeGreaterThan(100);
    // What only paces or measures is no state: one counter that is taken for one multiplies them.
    expect(states).toBeLessThan(600);
  });

  it("says so when a bound cut something off", () => {
    expect(run({ maxStates: 100 }).exhausted).toBe(false);
    expect(run({ depth: 2 }).exhausted).toBe(false);
  });
});

it("a replica that lost its memory comes back", { timeout: 120_000 }, () => {
  const world = new World({ binding: mutations, n: 3, ops: 1, views: 1, crashes: 1, mode: "speculative", guardsOff: 0 });
  const { violations } = search(world, { maxStates: 30_000, maxMs: 600_000 });
  expect(violations).toEqual([]);
  const back = world.locals.map(({ states }) => states.some((one) => one.status === ReplicaStatus.Normal && one.vector.includes("2")));
  expect(back).toEqual([true, true, true]);
  world.close();
});

describe("the reductions", () => {
  const bounds = { maxStates: 1e6, maxMs: 600_000 };
  const group = { binding: mutations, n: 3, mode: "speculative", guardsOff: 0 } as const;
  type Size = { ops: number; views: number; crashes: number };
  const all = (size: Size, reductions: "none" | "local" | "all") => {
    const world = new World({ ...group, ...size, reductions });
    const { exhausted, states } = search(world, bounds);
    world.close();
    // "given" stands for votes, and only the reduced search replaces them.
    const facts = world.facts.all.filter((fact) => !fact.includes('"given"'));
    return { exhausted, states, messages: world.messages.all, facts };
  };
  const compared: [Size, "none" | "local"][] = [
    [{ ops: 2, views: 0, crashes: 0 }, "none"],
    [{ ops: 1, views: 1, crashes: 0 }, "none"],
    // Without any reduction it takes too long.
    [{ ops: 1, views: 2, crashes: 0 }, "local"],
  ];
  for (const [size, without] of compared) {
    it(`hide no message that is ever sent and nothing that becomes known: ${JSON.stringify(size)}`, { timeout: 300_000 }, () => {
      const { states, ...reduced } = all(size, "all");
      const { states: statesOfAll, ...whole } = all(size, without);
      expect(statesOfAll).toBeGreaterThan(2 * states);
      expect(reduced).toEqual(whole);
      expect(whole.exhausted).toBe(true);
    });
  }
});

interface Check {
  guard: keyof typeof Guard;
  options: Partial<ExploreOptions>;
  /** Part of what is wrong. */
  what: RegExp;
}

const checks: Check[] = [
  { guard: "SessionDedupe", options: { views: 0 }, what: /executed twice/ },
  { guard: "SuperQuorum", options: { ops: 2 }, what: /was given operation 1 at 2 in view 0; view 1 starts without it/ },
  { guard: "CommitHash", options: { ops: 2 }, what: /was given operation 1 at 2 in view 0; view 1 starts without it/ },
  { guard: "InstallOnce", options: {}, what: /view 1 starts with 1 entries, but 2 are committed/ },
  { guard: "CompleteReconcile", options: { ops: 2, views: 2 }, what: /was given operation 1 at 2 in view 1; view 2 starts without it/ },
  { guard: "MergeOnce", options: {}, what: /entered view 1 with another log/ },
];

describe("without a rule, the search finds what it is for", () => {
  for (const { guard, options, what } of checks) {
    it(guard, { timeout: 120_000 }, () => {
      const { violations } = run({ ...options, guardsOff: Guard[guard] });
      expect(violations[0]?.what).toMatch(what);
      expect(violations[0]?.trace.length).toBeGreaterThan(0);
    });
  }
});
