/** The protocols to compare with, as real processes: each serves, survives kill -9 of its leader, and takes it back. */
import { type ChildProcess, fork } from "node:child_process";
import { randomBytes } from "node:crypto";
import { fileURLToPath } from "node:url";
import { bootstrap, connect, loadCluster, status } from "squall";
import { describe, expect, it, onTestFinished } from "vitest";
import { clusterContent, counterModule, startGroup, until } from "./support.js";

const replicaChild = fileURLToPath(new URL("./children/replica.js", import.meta.url));
const one = Buffer.from([1, 0, 0, 0]);

describe.each(["paxos", "paxos-batching", "fast-paxos"] as const)("%s in three processes", (protocol) => {
  it("goes on without killed replicas, the leader among them, and takes them back", async () => {
    const content = await clusterContent({ protocol });
    const secret = randomBytes(32);
    const cluster = await loadCluster(content, { secret });
    const start = async (id: number): Promise<ChildProcess> => {
      const child = fork(replicaChild, [JSON.stringify({ content, secret: secret.toString("hex"), id, machine: counterModule.href })]);
      onTestFinished(() => void child.kill("SIGKILL"));
      await new Promise((resolve, reject) => child.once("message", resolve).once("exit", reject));
      return child;
    };
    const children = await Promise.all([0, 1, 2].map(start));
    await bootstrap({ cluster });
    const client = await connect({ cluster });
    onTestFinished(() => client.close());
    let total = 0;
    const add = async (count: number) => {
      total += count;
      const results = await Promise.all(Array.from({ length: count }, () => client.invoke(one, { deadlineMs: 15_000 })));
      expect(Math.max(...results.map((result) => result.readDoubleLE()))).toBe(total);
    };
    const agreed = async () => {
      let reports: Awaited<ReturnType<typeof status>> = [];
      await until(async () => {
        reports = await status({ cluster, digest: true });
        const states = reports.map((report) => JSON.stringify([report?.status, report?.speculative, report?.committed, report?.digest]));
        return new Set(states).size === 1 && reports[0]?.status === "normal" && reports[0].committed === reports[0].speculative;
      }, "all three agree");
      expect(reports[0]?.mode).toBe(protocol === "fast-paxos" ? "fast" : "leader");
    };
    await add(200);
    expect((await client.read(Buffer.alloc(0), { deadlineMs: 15_000 })).readDoubleLE()).toBe(total);
    // Without a backup Fast Paxos has no fast quorum.
    for (const victim of protocol === "fast-paxos" ? [2, 0] : [0]) {
      children[victim]?.kill("SIGKILL");
      await add(50);
      children[victim] = await start(victim);
      await add(20);
      await agreed();
    }
  });
});

it("unreplicated serves with one replica", async () => {
  const { connect: join, replicas } = await startGroup({ protocol: "unreplicated", replicas: 1 });
  const client = await join();
  const results = await Promise.all(Array.from({ length: 100 }, (_, i) => client.invoke(Buffer.from(`operation ${i}`))));
  expect(results).toHaveLength(100);
  await until(() => replicas[0]!.progress().committed >= 100, "all is committed");
});
