import { randomBytes } from "node:crypto";
import { bootstrap, type Client, connect, createReplica, loadCluster, type WaitStrategy } from "squall";
import { freePorts, randomMulticastGroup } from "./cluster-file.js";
import counterMachine, { operationBytes } from "./machines/counter.js";
import { median, round } from "./statistics.js";

export interface OneProcessOptions {
  window: number;
  /** Of each of the rounds. */
  seconds: number;
  rounds: number;
  wait: WaitStrategy;
}

/** Keeps `window` operations outstanding for a while; how many were completed. */
async function run(client: Client, window: number, seconds: number): Promise<number> {
  const addOne = Buffer.alloc(operationBytes);
  addOne.writeDoubleLE(1);
  let completed = 0;
  let over = false;
  setTimeout(() => {
    over = true;
  }, seconds * 1000);
  const lane = async () => {
    while (!over) {
      await client.invoke(addOne);
      completed++;
    }
  };
  await Promise.all(Array.from({ length: window }, lane));
  return completed;
}

/**
 * Three replicas and a client on one event loop, over sockets: without switches between processes, so that processor time an operation
 * means something on a busy machine too, and a profiler sees all of it at once.
 */
export async function benchOneProcess({ window, seconds, rounds, wait }: OneProcessOptions): Promise<void> {
  const ports = await freePorts(4);
  const content = {
    cluster: randomBytes(8).toString("hex"),
    replicas: ports.slice(1).map((port) => ({ host: "127.0.0.1", port })),
    network: { design: "multicast" as const, multicast: { group: randomMulticastGroup(), port: ports[0]! } },
  };
  const cluster = await loadCluster(content, { secret: randomBytes(32) });
  for (let id = 0; id < cluster.replicas.length; id++)
    await createReplica({ cluster, id, machine: counterMachine(), thread: "main", wait });
  await bootstrap({ cluster });
  const client = await connect({ cluster, wait });
  await run(client, window, seconds);
  const cpuUs: number[] = [];
  for (let i = 0; i < rounds; i++) {
    const before = process.cpuUsage();
    const operations = await run(client, window, seconds);
    const { user, system } = process.cpuUsage(before);
    cpuUs.push((user + system) / operations);
    console.log(
      `${operations} operations, processor time of each ${round(cpuUs[i]!, 2)} us: ${round(user / operations, 2)} user, ${round(system / operations, 2)} system`,
    );
  }
  console.log(`median ${round(median(cpuUs), 2)} us`);
}
