import { describe, expect, it, onTestFinished } from "vitest";
import { leaseFabric } from "../../dist/data/fabrics.js";
import { loadBinding } from "../../dist/data/load.js";
import { converged, startGroup } from "./support.js";

const operation = Buffer.from("operation");

describe("artificial reordering of the requests that arrive", () => {
  async function start() {
    const group = await startGroup();
    const lease = leaseFabric(loadBinding());
    onTestFinished(() => lease.release());
    return { group, client: await group.connect(), fabric: lease.fabric };
  }
  const invokeMany = (client: { invoke(operation: Buffer): Promise<Buffer> }, count: number) =>
    Promise.all(Array.from({ length: count }, () => client.invoke(operation)));

  it("gives replicas different orders while it is on, and loses nothing", async () => {
    const { group, client, fabric } = await start();
    // Three replicas share the fabric of this thread, so its draws differ from replica to replica.
    expect(fabric.setReordering({ ppm: 200_000, seed: 1 })).toBe(0);
    expect(await invokeMany(client, 500)).toHaveLength(500);
    const reordered = client.metrics().mismatches;
    expect(reordered).toBeGreaterThan(0);
    fabric.setReordering({ ppm: 0, seed: 1 });
    await converged(group.replicas);
    const settled = client.metrics().mismatches;
    expect(await invokeMany(client, 500)).toHaveLength(500);
    expect(client.metrics().mismatches - settled).toBeLessThan(reordered);
    await converged(group.replicas);
  });

  it("passes on what nothing overtakes", async () => {
    const { client, fabric } = await start();
    fabric.setReordering({ ppm: 1_000_000, seed: 2, behind: 3 });
    for (let i = 0; i < 20; i++) await client.invoke(operation);
    expect(client.metrics().completions).toBeGreaterThanOrEqual(20);
  });

  it("ends with requests still held back", async () => {
    const { client, fabric } = await start();
    fabric.setReordering({ ppm: 1_000_000, seed: 3, behind: 1_000 });
    const answers = Promise.allSettled(Array.from({ length: 50 }, () => client.invoke(operation)));
    await new Promise((resolve) => setImmediate(resolve));
    client.close();
    expect((await answers).filter(({ status }) => status === "rejected").length).toBeGreaterThan(0);
  });
});
