/** An epoch ends at two of three, and the only one that goes on to the next dies before anybody has its state: nobody may have left too early. */
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type Configuration, encodeConfiguration } from "../../src/control/membership.js";
import { MessageType, type NativeAddress, ReplicaStatus, StatusWord } from "../../src/data/binding.js";
import { hex } from "../../src/data/hashing.js";
import { loadBinding } from "../../src/data/load.js";
import type { SimulatedCluster } from "../../src/sim/cluster.js";
import { newestMembers } from "../../src/sim/members.js";
import type { Oracle } from "../../src/sim/oracle.js";
import { Prng } from "../../src/sim/prng.js";
import { quietCluster } from "./quiet-cluster.js";

const binding = loadBinding();
/** Those of epoch 0 are at 0, 1 and 2; in epoch 1 the one at 3 takes the place of the one at 1. */
const removed = 1;
const joiner = 3;

let cluster: SimulatedCluster;
let oracle: Oracle;

function open(durability: "memory" | "sync"): void {
  const opened = quietCluster("following", { replicas: 3, spares: 1, durability, diskSyncUs: [1_000, 1_000], checkpointEvery: 50 });
  ({ cluster, oracle } = opened);
  cluster.restart(joiner, opened.prng.split("joiner"));
  run(20);
}

afterEach(() => cluster.close());

function run(ms: number): void {
  const untilUs = cluster.hub.nowUs() + 1000 * ms;
  while (cluster.hub.nowUs() < untilUs) {
    cluster.run(untilUs, Number.MAX_SAFE_INTEGER);
    cluster.bury();
  }
}

const host = (place: number) => cluster.host(place) as NonNullable<ReturnType<SimulatedCluster["host"]>>;
const address = (place: number): NativeAddress => ({ loop: cluster.replicaPorts[place] as number });

function block(from: number, to: number, blocked: boolean): void {
  cluster.hub.setBlocked(cluster.replicaPorts[from] as number, cluster.replicaPorts[to] as number, blocked);
}

function cut(blocked: boolean, ...pairs: [number, number][]): void {
  for (const [a, b] of pairs) {
    block(a, b, blocked);
    block(b, a, blocked);
  }
}

function reconfigure(): void {
  const configuration: Configuration = {
    epoch: 1,
    members: [
      { address: address(0), from: 0 },
      { address: address(joiner), bootId: hex(host(joiner).bootId) },
      { address: address(2), from: 2 },
    ],
    leaving: [address(removed)],
  };
  const { group, secret, sealed, datagramBytes } = cluster.cluster;
  const tool = new binding.ToolEngine(
    {
      fabric: cluster.hub,
      loopPort: cluster.operatorPort,
      group,
      role: "operator",
      id: Buffer.alloc(8, 1),
      key: secret as Uint8Array,
      replicas: [0, 1, 2].map(address),
      sealed,
      datagramBytes,
    },
    () => {},
  );
  const body = Buffer.concat([host(0).engine.lifeId() as Uint8Array, encodeConfiguration(configuration)]);
  for (let tries = 0; tries < 500 && host(0).epoch === 0; tries++) {
    for (const replica of [0, 1]) tool.ask(replica, MessageType.Reconfigure, body);
    run(1);
  }
  tool.close();
}

/** The one at 0 is alone in epoch 1, with the state; the one at 1 holds the end of epoch 0, and the one at 2 does not. */
function endWithout2(): void {
  cut(true, [0, 2], [1, 2], [0, joiner], [1, joiner], [2, joiner]);
  reconfigure();
  expect([0, removed, 2].map((place) => host(place).epoch)).toEqual([1, 0, 0]);
}

function expectAgreement(): void {
  for (let waited = 0; waited < 5000 && cluster.disagreement() !== undefined; waited += 50) run(50);
  expect(cluster.disagreement()).toBeUndefined();
  expect(newestMembers(cluster)).toMatchObject({ epoch: 1, places: [0, joiner, 2] });
  expect(oracle.violations).toEqual([]);
}

describe("a replica that missed the end of an epoch", () => {
  beforeEach(() => open("memory"));

  it("stays where it is until it has the state of the next one, so that the others can end the epoch with it", () => {
    endWithout2();
    // Each hears the others of its epoch no more.
    run(300);
    // It is told of the epoch, and cannot ask for the state.
    block(0, 2, false);
    run(300);
    expect(host(2).epoch).toBe(0);
    expect(host(2).words[StatusWord.Status]).not.toBe(ReplicaStatus.Recovery);
    cluster.crash(0);
    run(10);
    cluster.restart(0, new Prng(2, "again"));
    cut(false, [0, 2], [1, 2], [0, joiner], [1, joiner], [2, joiner]);
    expectAgreement();
  });

  it("takes the state from a member of the next epoch while those of its own are gone", () => {
    endWithout2();
    cluster.crash(removed);
    cut(false, [0, 2]);
    run(500);
    expect(host(2)).toMatchObject({ epoch: 1, id: 2 });
    expect(host(2).words[StatusWord.Status]).toBe(ReplicaStatus.Normal);
    cut(false, [0, joiner], [2, joiner]);
    expectAgreement();
  });
});

it("an epoch goes on with those that join when its only member lost power before its first checkpoint was on disk", () => {
  open("sync");
  endWithout2();
  for (let waited = 0; waited < 100 && !cluster.lasts(0); waited++) run(1);
  for (const place of [0, removed, 2]) cluster.crash(place, true);
  run(10);
  cluster.restart(0, new Prng(2, "again"));
  expect(host(0).epoch).toBe(1);
  expect(
    cluster
      .diskOf(0)
      ?.files()
      .filter(({ name }) => /^snapshot-\d+$/.test(name)),
  ).toEqual([]);
  cut(false, [0, joiner]);
  run(1000);
  expect([0, joiner].map((place) => host(place).words[StatusWord.Status])).toEqual([ReplicaStatus.Normal, ReplicaStatus.Normal]);
  cluster.restart(2, new Prng(3, "again"));
  cut(false, [0, 2], [2, joiner]);
  expectAgreement();
});
