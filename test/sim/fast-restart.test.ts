/** Fast Paxos on disks: what a replica accepted in a classic round is a promise, and outlives a loss of power with the log. */
import { expect, it } from "vitest";
import { ReplicaStatus, StatusWord } from "../../src/data/binding.js";
import { ScriptedCluster } from "./scripted-cluster.js";

const leader = 0;

it.each([
  [1, 2],
  [2, 1],
])("replica %i accepted the leader's choice, lost power and meets replica %i, which has another: the choice stays", (accepting, other) => {
  const scripted = new ScriptedCluster("fast restart", {
    replicas: 3,
    protocol: "fast-paxos",
    durability: "sync",
    diskSyncUs: [500, 500],
    checkpointEvery: 50,
  });
  expect(scripted.operate(500)).toBe(true);
  scripted.run(50);
  scripted.partition([[leader, accepting]], [leader, accepting]);
  expect(scripted.operate(2000)).toBe(true);
  scripted.cluster.crash(accepting, true);
  scripted.cluster.bury();
  scripted.partition([], [other]);
  const { logEnd } = scripted.cluster.progress(other);
  expect(scripted.operate(50)).toBe(false);
  expect(scripted.cluster.progress(other).logEnd).toBeGreaterThan(logEnd);
  scripted.restart(accepting);
  scripted.partition([[accepting, other]], []);
  const normal = (place: number) => scripted.host(place).words[StatusWord.Status] === ReplicaStatus.Normal;
  expect(scripted.runUntil(() => normal(accepting) && normal(other), 2000)).toBe(true);
  scripted.partition([[0, 1, 2]], [0, 1, 2]);
  expect(scripted.operate(2000)).toBe(true);
  scripted.expectAgreement({ epoch: 0, places: [0, 1, 2] });
  scripted.cluster.close();
});
