// Three replicas and a client in one process, once with a Worker for each replica, once all on the main thread.
//   node main.js
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { bootstrap, connect, createReplica, writeCluster } from "squall";
import register from "./register.js";

async function run(thread, firstPort) {
  const directory = await mkdtemp(path.join(tmpdir(), "squall-example-"));
  const { file: cluster } = await writeCluster(directory, { port: firstPort });
  const machine = thread === "worker" ? new URL("./register.js", import.meta.url) : register;

  const replicas = await Promise.all([0, 1, 2].map((id) => createReplica({ cluster, id, machine, thread })));
  await bootstrap({ cluster });
  const client = await connect({ cluster });

  await client.invoke(Buffer.from("hello"));
  const old = await client.invoke(Buffer.from("world"));
  console.log(`${thread}: the register held "${old}"`);

  client.close();
  await Promise.all(replicas.map((replica) => replica.close()));
  await rm(directory, { recursive: true });
  if (old.toString() !== "hello") throw new Error(`expected "hello", got "${old}"`);
}

await run("worker", 7420);
await run("main", 7430);
