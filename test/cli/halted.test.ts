/** A replica whose machine fails alone: operations are fast again after the detection time, and stay so once it is restarted. */
import { fileURLToPath } from "node:url";
import { type Client, connect, type ReplicaReport, status } from "squall";
import { expect, it, onTestFinished } from "vitest";
import { until } from "../api/support.js";
import { makeCluster, squall } from "./processes.js";

const ill = fileURLToPath(new URL("./machines/ill.mjs", import.meta.url));
const addOne = Buffer.from([1, 0, 0, 0]);
/** Below what an operation takes that waits for the next SYNC, and far above what one takes that does not. */
const FastMs = 15;

async function medianMs(client: Client, operations: number): Promise<number> {
  const took: number[] = [];
  for (let i = 0; i < operations; i++) {
    const at = performance.now();
    await client.invoke(addOne, { deadlineMs: 10_000 });
    took.push(performance.now() - at);
  }
  return took.sort((a, b) => a - b)[operations >> 1] as number;
}

const report = async (cluster: string) => (await status({ cluster })).map((one) => one as ReplicaReport);

it.each([0, 1])("replica %i, which fails alone, slows nobody down for long", { timeout: 60_000 }, async (victim) => {
  const cluster = await makeCluster();
  const replicas = await Promise.all([0, 1, 2].map((id) => cluster.startWith(id, ill, id === victim ? { SQUALL_TEST_ILL: "1" } : {})));
  expect(await squall("bootstrap", "--cluster", cluster.file)).toMatchObject({ status: 0 });
  const client = await connect({ cluster: cluster.file });
  onTestFinished(() => client.close());
  await medianMs(client, 40);
  await until(async () => (await report(cluster.file)).every(({ mode }) => mode === "leader"), "LEADER mode", 10_000);
  expect((await report(cluster.file))[victim]).toMatchObject({ halted: true });
  expect(await medianMs(client, 200)).toBeLessThan(FastMs);

  replicas[victim]?.child.kill("SIGTERM");
  await replicas[victim]?.ended;
  await cluster.startWith(victim, ill, {});
  await until(
    async () => (await report(cluster.file)).every(({ mode, halted }) => mode === "speculative" && !halted),
    "SPECULATIVE mode",
    20_000,
  );
  expect(await medianMs(client, 200)).toBeLessThan(FastMs);
});
