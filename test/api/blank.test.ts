/** Replicas that are no members yet: what they count, and what they are called. */
import { bootstrap, createReplica, prometheusRegistry } from "squall";
import { expect, it, onTestFinished } from "vitest";
import { counterModule, freePorts, testCluster, until } from "./support.js";

it("a bootstrap takes nothing for forged, though some begin a moment before the others", { timeout: 30_000 }, async () => {
  let normal = 0;
  for (let round = 0; round < 8; round++) {
    const cluster = await testCluster();
    const replicas = await Promise.all([0, 1, 2].map((id) => createReplica({ cluster, id, machine: counterModule })));
    onTestFinished(async () => void (await Promise.all(replicas.map((replica) => replica.close()))));
    await bootstrap({ cluster });
    await until(() => replicas.every((replica) => replica.progress().status === "normal"), "all are normal");
    for (const replica of replicas) {
      expect(Object.keys(replica.progress().counters.dropped).filter((reason) => reason !== "status")).toEqual([]);
      normal++;
    }
    await Promise.all(replicas.map((replica) => replica.close()));
  }
  expect(normal).toBe(24);
});

it("one that is to join has no index in the metrics", async () => {
  const cluster = await testCluster();
  const [port] = await freePorts(1);
  const replica = await createReplica({ cluster, join: { ip: "127.0.0.1", port: port as number }, machine: counterModule });
  onTestFinished(() => replica.close());
  expect(replica).toMatchObject({ id: 0, joining: true });
  const text = await (await prometheusRegistry({ replicas: [replica] })).metrics();
  expect(text).toMatch(/squall_view\{.*replica="joining"/);
  expect(text).not.toContain('replica="0"');
});
