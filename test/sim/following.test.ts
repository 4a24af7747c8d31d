/** An epoch ends at two of three, and the only one that goes on to the next dies before anybody has its state: nobody may have left too early. */
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { decodeNewEpoch } from "../../src/control/membership.js";
import { MessageType, ReplicaStatus, StatusWord } from "../../src/data/binding.js";
import { hex } from "../../src/data/hashing.js";
import { ScriptedCluster } from "./scripted-cluster.js";

/** Those of epoch 0 are at 0, 1 and 2; in epoch 1 the one at 3 takes the place of the one at 1. */
const removed = 1;
const joiner = 3;
const epoch1 = { epoch: 1, places: [0, joiner, 2] };

let scripted: ScriptedCluster;

function open(durability: "memory" | "sync"): void {
  scripted = new ScriptedCluster("following", { replicas: 3, spares: 1, durability, diskSyncUs: [1_000, 1_000], checkpointEvery: 50 });
  scripted.restart(joiner);
  scripted.run(20);
}

afterEach(() => scripted.cluster.close());

const host = (place: number) => scripted.host(place);

function cut(blocked: boolean, ...pairs: [number, number][]): void {
  for (const [a, b] of pairs) {
    scripted.block(a, b, blocked);
    scripted.block(b, a, blocked);
  }
}

function reconfigure(): void {
  const members = [
    { address: scripted.address(0), from: 0 },
    { address: scripted.address(joiner), bootId: hex(host(joiner).bootId) },
    { address: scripted.address(2), from: 2 },
  ];
  scripted.reconfigure({ epoch: 1, members, leaving: [scripted.address(removed)] }, [0, removed], () => host(0).epoch === 1);
}

/** The one at 0 is alone in epoch 1, with the state; the one at 1 holds the end of epoch 0, and the one at 2 does not. */
function endWithout2(): void {
  cut(true, [0, 2], [1, 2], [0, joiner], [1, joiner], [2, joiner]);
  reconfigure();
  expect([0, removed, 2].map((place) => host(place).epoch)).toEqual([1, 0, 0]);
}

describe("a replica that missed the end of an epoch", () => {
  beforeEach(() => open("memory"));

  it("stays where it is until it has the state of the next one, so that the others can end the epoch with it", () => {
    endWithout2();
    // Each hears the others of its epoch no more.
    scripted.run(300);
    // It is told of the epoch, and cannot ask for the state.
    scripted.block(0, 2, false);
    scripted.run(300);
    expect(host(2).epoch).toBe(0);
    expect(host(2).words[StatusWord.Status]).not.toBe(ReplicaStatus.Recovery);
    scripted.cluster.crash(0);
    scripted.run(10);
    scripted.restart(0);
    cut(false, [0, 2], [1, 2], [0, joiner], [1, joiner], [2, joiner]);
    scripted.expectAgreement(epoch1);
  });

  it("takes the state from a member of the next epoch while those of its own are gone", () => {
    endWithout2();
    scripted.cluster.crash(removed);
    cut(false, [0, 2]);
    scripted.run(500);
    expect(host(2)).toMatchObject({ epoch: 1, id: 2 });
    expect(host(2).words[StatusWord.Status]).toBe(ReplicaStatus.Normal);
    cut(false, [0, joiner], [2, joiner]);
    scripted.expectAgreement(epoch1);
  });
});

it("an epoch goes on with those that join when its only member lost power before its first checkpoint was on disk", () => {
  open("sync");
  endWithout2();
  for (let waited = 0; waited < 100 && !scripted.cluster.lasts(0); waited++) scripted.run(1);
  for (const place of [0, removed, 2]) scripted.cluster.crash(place, true);
  scripted.run(10);
  scripted.restart(0);
  expect(host(0).epoch).toBe(1);
  expect(
    scripted.cluster
      .diskOf(0)
      ?.files()
      .filter(({ name }) => /^snapshot-\d+$/.test(name)),
  ).toEqual([]);
  cut(false, [0, joiner]);
  scripted.run(1000);
  expect([0, joiner].map((place) => host(place).words[StatusWord.Status])).toEqual([ReplicaStatus.Normal, ReplicaStatus.Normal]);
  scripted.restart(2);
  cut(false, [0, 2], [2, joiner]);
  scripted.expectAgreement(epoch1);
});

describe("who tells of the epoch", () => {
  beforeEach(() => open("sync"));

  /** The members that each NEW-EPOCH of the replica at `place` names as having the state, with whether that one's view was on its disk. */
  function told(place: number): { holders: number; durable: boolean }[] {
    const { engine, data } = host(place);
    const seen: { holders: number; durable: boolean }[] = [];
    const send = engine.sendToAddress.bind(engine);
    const value: typeof send = (target, type, body) => {
      const message = type === MessageType.NewEpoch ? decodeNewEpoch(body) : undefined;
      if (message?.configuration.epoch === 1) seen.push({ holders: message.holders, durable: data.viewDurable });
      send(target, type, body);
    };
    Object.defineProperty(engine, "sendToAddress", { value });
    return seen;
  }

  it("counts itself among those that have the state once that is on its disk", () => {
    const seen = told(0);
    endWithout2();
    scripted.run(500);
    expect(new Set(seen.map(({ durable }) => durable))).toEqual(new Set([false, true]));
    for (const { holders, durable } of seen) expect(holders).toBe(durable ? 1 : 0);
  });

  it("does not while it joins, also after a restart", () => {
    endWithout2();
    scripted.block(0, joiner, false);
    expect(scripted.runUntil(() => host(joiner).epochs.joining, 1000)).toBe(true);
    scripted.run(50);
    scripted.cluster.crash(joiner, true);
    scripted.run(10);
    scripted.restart(joiner);
    expect(host(joiner).epochs).toMatchObject({ epoch: 1, joining: true });
    const seen = told(joiner);
    scripted.run(500);
    expect(seen.length).toBeGreaterThan(0);
    for (const { holders } of seen) expect(holders & (1 << host(joiner).id)).toBe(0);
  });
});
