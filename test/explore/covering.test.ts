/** Sets by number, and which states stand in for which, against the plain definitions. */
import { expect, it } from "vitest";
import { loadBinding } from "../../src/data/load.js";
import { IdSets } from "../../src/explore/id-sets.js";
import { StateTable } from "../../src/explore/state-table.js";
import { World } from "../../src/explore/world.js";
import { Prng } from "../../src/sim/prng.js";

const isSubset = (less: Iterable<number>, more: readonly number[]): boolean => [...less].every((id) => more.includes(id));

it("sets of numbers are what sets are", () => {
  const prng = new Prng(1, "explore");
  const sets = new IdSets();
  const known = new Map<string, number>([["", 0]]);
  const drawn = Array.from({ length: 400 }, () => {
    const ids = Array.from({ length: Math.floor(prng.unit() * 12) }, () => Math.floor(prng.unit() * (prng.unit() < 0.5 ? 8 : 90)));
    return { set: sets.of(ids), ids: [...new Set(ids)].sort((a, b) => a - b) };
  });
  for (const a of drawn) {
    expect([...sets.members(a.set)]).toEqual(a.ids);
    const before = known.get(a.ids.join());
    if (before !== undefined) expect(a.set).toBe(before);
    known.set(a.ids.join(), a.set);
    for (const b of drawn.slice(0, 60)) {
      expect(sets.includes(a.set, b.set)).toBe(isSubset(b.ids, a.ids));
      expect(sets.union(a.set, b.set)).toBe(sets.of([...a.ids, ...b.ids]));
    }
    expect(sets.filter(a.set, (id) => id % 2 === 0)).toBe(sets.of(a.ids.filter((id) => id % 2 === 0)));
  }
  expect(new Set(known.values()).size).toBe(known.size);
});

it("a table keeps in sight the states that no other covers", () => {
  // The first word is the key; a state covers another when it has all bits of the second word.
  const covers = (words: Uint32Array, state: number, otherWords: Uint32Array, other: number): boolean =>
    (otherWords[other + 1]! & ~words[state + 1]!) === 0;
  const table = new StateTable({ words: 2, keyWords: 1, covers });
  const prng = new Prng(2, "explore");
  const added: { key: number; bits: number }[] = [];
  for (let i = 0; i < 3_000; i++) {
    const [key, bits] = [Math.floor(prng.unit() * 40), Math.floor(prng.unit() * 512)];
    const covered = added.some((one) => one.key === key && (bits & ~one.bits) === 0);
    expect(table.add(Uint32Array.of(key, bits), 0, 0, 0)).toBe(!covered);
    if (!covered) added.push({ key, bits });
  }
  added.forEach(({ key, bits }, number) => {
    const later = added.slice(number + 1).some((one) => one.key === key && (bits & ~one.bits) === 0);
    expect(table.isCovered(number)).toBe(later);
  });
});

it("a state of the group covers another only with all of its messages and all that is known", () => {
  const world = new World({ binding: loadBinding(), n: 3, ops: 1, views: 1, crashes: 0, mode: "speculative", guardsOff: 0 });
  const byKey = new Map<string, Uint32Array[]>();
  const prng = new Prng(3, "explore");
  for (let walk = 0; walk < 150; walk++) {
    const state = world.initial();
    for (let step = 0; step < 12; step++) {
      const moves: [number, Parameters<World["apply"]>[2]][] = [];
      world.forEachMove(state, (replica, move) => moves.push([replica, move]));
      const chosen = moves[Math.floor(prng.unit() * moves.length)];
      if (!chosen) break;
      world.apply(state, ...chosen);
      const key = state.slice(0, world.keyWords).join();
      byKey.set(key, [...(byKey.get(key) ?? []), state.slice()]);
    }
  }
  const seen = { yes: 0, no: 0 };
  for (const states of byKey.values()) {
    for (const a of states) {
      for (const b of states) {
        const covers = world.covers(a, 0, b, 0);
        const messages = [0, 1, 2].every((r) => isSubset(world.inbox(b, r), [...world.inbox(a, r)]));
        const known = isSubset(world.factsOf(b), [...world.factsOf(a)]);
        if (covers) expect(messages).toBe(true);
        if (messages && known) expect(covers).toBe(true);
        if (covers !== (messages && known)) expect(world.facts.cover(world.factsOf(a), world.factsOf(b))).toBe(true);
        seen[covers ? "yes" : "no"]++;
      }
    }
  }
  world.close();
  expect(Math.min(seen.yes, seen.no)).toBeGreaterThan(100);
});
