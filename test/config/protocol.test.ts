import { describe, expect, it } from "vitest";
import { protocolNames, protocolRules } from "../../src/config/protocols.js";
import { type ClusterFile, loadCluster } from "../../src/config.js";
import { configDigest } from "../../src/data/boot.js";

const replicas = [7100, 7101, 7102].map((port) => ({ host: "127.0.0.1", port }));
const base: ClusterFile = { cluster: "00112233445566ff", replicas };
const rulesOf = async (more: Partial<ClusterFile>) => protocolRules(await loadCluster({ ...base, ...more }));

describe("the protocol of a cluster", () => {
  it("is speculative unless the file says otherwise, and then goes by the mode", async () => {
    expect(await loadCluster(base)).toMatchObject({ protocol: "speculative", mode: "adaptive" });
    expect(await rulesOf({ mode: "leader" })).toMatchObject({ modes: "leader", prepareBatch: 64, toLeader: false });
    expect(await rulesOf({})).toMatchObject({ modes: "adaptive", firstMode: 0, epochMode: 1 });
  });

  it("decides modes, batches and whom clients ask first", async () => {
    expect(await rulesOf({ protocol: "paxos" })).toEqual({ modes: "leader", firstMode: 1, epochMode: 1, prepareBatch: 1, toLeader: true });
    expect(await rulesOf({ protocol: "paxos-batching" })).toMatchObject({ modes: "leader", prepareBatch: 64, toLeader: true });
    expect(await rulesOf({ protocol: "paxos-batching", limits: { prepareBatch: 8 } })).toMatchObject({ prepareBatch: 8 });
    expect(await rulesOf({ protocol: "fast-paxos" })).toMatchObject({ modes: "fast", firstMode: 2, epochMode: 2, toLeader: false });
    expect(await rulesOf({ protocol: "unreplicated", replicas: replicas.slice(1, 2) })).toMatchObject({ modes: "leader", toLeader: false });
  });

  it.each(protocolNames.filter((name) => name !== "unreplicated"))("%s may keep its log on disk", async (protocol) => {
    expect(await loadCluster({ ...base, protocol, durability: "sync" })).toMatchObject({ protocol, durability: "sync" });
  });

  it("is part of what replicas must have alike", async () => {
    const digests = new Set<string>();
    for (const protocol of protocolNames.filter((name) => name !== "unreplicated"))
      digests.add(configDigest(await loadCluster({ ...base, protocol })).toString("hex"));
    expect(digests.size).toBe(protocolNames.length - 1);
  });

  it.each<[string, object, RegExp]>([
    [
      "an unknown one",
      { protocol: "raft" },
      /"protocol" must be one of "speculative", "paxos", "paxos-batching", "fast-paxos", "unreplicated"; it is "raft"/,
    ],
    ["a mode beside another protocol", { protocol: "paxos", mode: "leader" }, /"mode" belongs to the protocol "speculative"/],
    [
      "batches without batching",
      { protocol: "paxos", limits: { prepareBatch: 8 } },
      /"limits.prepareBatch" has no meaning with "protocol": "paxos"/,
    ],
    ["unreplicated with three replicas", { protocol: "unreplicated" }, /has one replica; "replicas" lists 3/],
    ["one replica of Paxos", { protocol: "fast-paxos", replicas: replicas.slice(2) }, /needs 3, 5, 7 or 9/],
  ])("refuses %s", async (_, more, message) => {
    await expect(loadCluster({ ...base, ...more } as ClusterFile)).rejects.toMatchObject({
      code: "CLUSTER_FILE_INVALID",
      message: expect.stringMatching(message),
    });
  });
});
