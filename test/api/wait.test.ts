import { createSocket } from "node:dgram";
import { connect, createReplica } from "squall";
import { describe, expect, it, onTestFinished } from "vitest";
import { leaseFabric } from "../../dist/data/fabrics.js";
import { loadBinding } from "../../dist/data/load.js";
import type { WaitStrategy } from "../../dist/wait.js";
import { echoMachine } from "./machines/echo.js";
import { startGroup, testCluster } from "./support.js";

const operation = Buffer.from("operation");

/** A group and a client in this thread: a request is there for the replicas as soon as it was sent, so every look finds something. */
async function start(wait: WaitStrategy) {
  const group = await startGroup();
  const client = await group.connect({ wait });
  const lease = leaseFabric(loadBinding());
  onTestFinished(() => lease.release());
  return { client, group, counters: () => lease.fabric.waitCounters() };
}

describe("wait", () => {
  it("is refused where it is no strategy", async () => {
    const cluster = await testCluster();
    const bad = { code: "INVALID_OPTION", message: expect.stringContaining("wait must be") };
    await expect(connect({ cluster, wait: "poll" as WaitStrategy })).rejects.toMatchObject(bad);
    await expect(connect({ cluster, wait: 1 as unknown as WaitStrategy })).rejects.toMatchObject(bad);
    await expect(connect({ cluster, wait: "yeild" as WaitStrategy })).rejects.toMatchObject({
      message: expect.stringContaining('"yield"?'),
    });
    const replica = { cluster, id: 0, machine: echoMachine(), thread: "main" as const };
    await expect(createReplica({ ...replica, wait: null as unknown as WaitStrategy })).rejects.toMatchObject(bad);
  });

  it("block never looks", async () => {
    const { client, counters } = await start("block");
    for (let i = 0; i < 50; i++) await client.invoke(operation);
    expect(counters().looks).toBe(0);
  });

  describe.each(["yield", "spin"] as const)("%s", (wait) => {
    it("finds datagrams before the loop sleeps", async () => {
      const { client, counters } = await start(wait);
      // Other processes may take the core away at any time: looking then pauses, and is tried again.
      while (counters().found === 0) expect(await client.invoke(operation)).toEqual(operation);
    });

    // Each of these loops ends only by what it waits for, while operations never cease.
    it("leaves timers, immediates and other sockets their turn", async () => {
      const { client } = await start(wait);
      const until = async (begin: (done: () => void) => void) => {
        let over = false;
        begin(() => {
          over = true;
        });
        while (!over) await client.invoke(operation);
      };
      const order: number[] = [];
      await until((done) => {
        setTimeout(() => {
          order.push(2);
          done();
        }, 4);
        setTimeout(() => order.push(1), 2);
      });
      expect(order).toEqual([1, 2]);
      await until((done) => setImmediate(done));
      await until((done) => setImmediate(() => setTimeout(() => setImmediate(done), 1)));
      const socket = createSocket("udp4");
      onTestFinished(() => void socket.close());
      await new Promise<void>((resolve) => socket.bind(0, "127.0.0.1", resolve));
      await until((done) => {
        socket.once("message", done);
        socket.send("x", socket.address().port, "127.0.0.1");
      });
    });

    it("ends with the last client that asked for it", async () => {
      const { client, group, counters } = await start(wait);
      while (counters().looks === 0) await client.invoke(operation);
      client.close();
      const other = await group.connect();
      const { looks } = counters();
      for (let i = 0; i < 50; i++) await other.invoke(operation);
      expect(counters().looks).toBe(looks);
    });

    it("closes within an upcall that came while it looked", async () => {
      const { client, counters } = await start(wait);
      while (counters().found === 0) await client.invoke(operation);
      await new Promise<void>((resolve) => {
        client.invokeWith(operation, () => {
          client.close();
          resolve();
        });
      });
      await expect(client.invoke(operation)).rejects.toMatchObject({ code: "CLOSED" });
    });
  });
});
