/** Table 1 of the paper, counted. */
import { expect, it } from "vitest";
import { loadBinding } from "../../src/data/load.js";
import { countMessages } from "../../src/sim/message-count.js";

const binding = loadBinding();

it.each([
  // protocol, message delays, at the bottleneck replica, at any other
  ["paxos", 4, (n: number) => 2 * n, 2],
  ["paxos-batching", 4, (n: number) => 2 * n, 2], // a batch of one: nothing else is outstanding
  ["fast-paxos", 3, (n: number) => n + 1, 2], // the request, n-1 votes, the reply
  ["speculative", 2, () => 2, 2],
] as const)("%s takes %i message delays", (protocol, delays, atBottleneck, atOthers) => {
  for (const replicas of [3, 5, 7]) {
    const count = countMessages({ binding, protocol, replicas });
    expect({ replicas, ...count }).toEqual({
      replicas,
      delays,
      datagrams: 2 * replicas,
      atReplica: [atBottleneck(replicas), ...new Array(replicas - 1).fill(atOthers)],
      atBottleneck: atBottleneck(replicas),
    });
  }
});

it("unreplicated takes two message delays", () => {
  expect(countMessages({ binding, protocol: "unreplicated", replicas: 1 })).toEqual({
    delays: 2,
    datagrams: 2,
    atReplica: [2],
    atBottleneck: 2,
  });
});
