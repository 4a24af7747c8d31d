/** A member of two epochs loses its memory of the later one and comes back in the earlier one: it may not go on as if it never was in the later. */
import { afterEach, beforeEach, expect, it } from "vitest";
import type { Configuration } from "../../src/control/membership.js";
import { ReplicaStatus, StatusWord } from "../../src/data/binding.js";
import { hex } from "../../src/data/hashing.js";
import { Prng } from "../../src/sim/prng.js";
import { drawTiming } from "../../src/sim/timing.js";
import { ScriptedCluster } from "./scripted-cluster.js";

/** In epoch 1 those at 5 and 6 take the places of those at 3 and 4. */
const joiners = [5, 6];
const forgetful = 0;

let scripted: ScriptedCluster;

beforeEach(() => {
  // What clients were told of stays uncommitted for long.
  const timing = { ...drawTiming(new Prng(1, "timing"), false), syncMinMs: 1000, syncMaxMs: 1000, syncEvery: 4096, syncTimeoutMs: 5000 };
  scripted = new ScriptedCluster("forgotten epoch", { replicas: 5, spares: 2, mode: "speculative", checkpointEvery: 50, timing });
  for (const place of joiners) scripted.restart(place);
  scripted.run(20);
});

afterEach(() => scripted.cluster.close());

const status = (place: number): number => scripted.host(place).words[StatusWord.Status] as number;
const epoch = (place: number): number => scripted.host(place).epoch;

function next(): Configuration {
  const joins = joiners.map((place) => ({ address: scripted.address(place), bootId: hex(scripted.host(place).bootId) }));
  const stay = [0, 1, 2].map((place) => ({ address: scripted.address(place), from: place }));
  return { epoch: 1, members: [...stay, ...joins], leaving: [3, 4].map((place) => scripted.address(place)) };
}

it("a replica that lost its memory of an epoch recovers in it, also when it came back in the epoch before", () => {
  expect(scripted.operate(200)).toBe(true);
  // The one at 2 holds the end of epoch 0 and does not hear that it is committed.
  scripted.partition([[0, 1, 2, ...joiners]], [0, 1, ...joiners]);
  for (const joiner of joiners) {
    scripted.block(joiner, 2);
    scripted.block(2, joiner);
  }
  scripted.reconfigure(next(), [0, 1], () => scripted.host(2).epochs.next !== undefined);
  for (const place of [0, 1]) scripted.block(place, 2);
  const inEpoch1 = [0, 1, ...joiners];
  expect(scripted.runUntil(() => inEpoch1.every((place) => epoch(place) === 1 && status(place) === ReplicaStatus.Normal), 1000)).toBe(true);
  expect(epoch(2)).toBe(0);
  // The four are a superquorum of epoch 1: this is answered, and committed nowhere.
  expect(scripted.operate(200)).toBe(true);

  scripted.cluster.crash(forgetful);
  scripted.cluster.bury();
  scripted.partition([[0, 2, 3, 4]], [0, 2]);
  scripted.restart(forgetful);
  // With the end of epoch 0 those at 0 and 2 could go on to epoch 1, take another operation in the answered one's place, and end the first view
  // with a single one of those who have that.
  scripted.runUntil(() => epoch(forgetful) === 1, 500);
  expect(scripted.operate(50)).toBe(false);
  scripted.partition([[0, 2, 5]], []);
  scripted.run(1000);
  scripted.partition([[0, 1, 2, 3, 4, 5, 6]], [0, 1, 2, 5, 6]);
  expect(scripted.operate(2000)).toBe(true);
  scripted.expectAgreement({ epoch: 1, places: [0, 1, 2, ...joiners] });
});
