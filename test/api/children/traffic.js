// A whole group and a client under load in this process (or this Worker), ended in the way that the first argument names.
import { setTimeout as sleep } from "node:timers/promises";
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";
import { bootstrap, connect, createReplica, loadCluster } from "squall";

const { content, secret, how, machine } = isMainThread ? JSON.parse(process.argv[2]) : workerData;

async function startTraffic(thread) {
  const cluster = await loadCluster(content, { secret: Buffer.from(secret, "hex") });
  const factory = (await import(machine)).default;
  const replicas = await Promise.all(
    content.replicas.map((_, id) => createReplica({ cluster, id, thread, machine: thread === "main" ? factory : machine })),
  );
  await bootstrap({ cluster });
  const client = await connect({ cluster });
  let completed = 0;
  const pump = async () => {
    for (;;) {
      await client.invoke(Buffer.from(`operation ${completed}`));
      completed++;
    }
  };
  for (let i = 0; i < 16; i++) pump().catch(() => {});
  while (completed < 200) await sleep(1);
  return { cluster, replicas, client, completed: () => completed };
}

if (!isMainThread) {
  await startTraffic(how === "worker-exit" ? "worker" : "main");
  parentPort.postMessage("busy");
  if (how === "worker-exit") setTimeout(() => process.exit(3), 20);
} else if (how === "terminate" || how === "worker-exit") {
  for (let round = 0; round < 3; round++) {
    const worker = new Worker(new URL(import.meta.url), { workerData: { content, secret, how, machine } });
    const exited = new Promise((resolve) => worker.once("exit", resolve));
    await new Promise((resolve, reject) => worker.once("message", resolve).once("error", reject));
    if (how === "terminate") await worker.terminate();
    await exited;
  }
  console.log("survived");
} else {
  const { replicas, client, completed } = await startTraffic(how === "exit-with-workers" ? "worker" : "main");
  if (how.startsWith("exit")) {
    process.on("exit", () => console.log(`exit after ${completed() >= 200 ? "enough" : "too few"}`));
    setTimeout(() => process.exit(7), 20);
  } else if (how === "throw") {
    setTimeout(() => {
      throw null;
    }, 20);
  } else if (how === "leave") {
    client.close();
    await Promise.all(replicas.map((replica) => replica.close()));
    console.log("left");
  } else if (how === "gc") {
    for (let i = 0; i < 20; i++) {
      globalThis.gc();
      await sleep(5);
    }
    client.close();
    await Promise.all(replicas.map((replica) => replica.close()));
    await collected();
  }
}

/** Handles that were closed and dropped are collected, and take their memory with them. */
async function collected() {
  const { loadBinding } = await import("../../../dist/data/load.js");
  const { ReplicaHost } = await import("../../../dist/data/replica-host.js");
  const { ClientHost } = await import("../../../dist/data/client-host.js");
  const cluster = await loadCluster(content, { secret: Buffer.from(secret, "hex") });
  const factory = (await import(machine)).default;
  const binding = loadBinding();
  let alive = 0;
  const registry = new FinalizationRegistry(() => alive--);
  const open = () => {
    const fabric = new binding.UdpFabric();
    const host = new ReplicaHost({ binding, fabric, cluster, id: 0, machine: factory() });
    const client = new ClientHost({ binding, fabric, cluster });
    client.start();
    for (const handle of [fabric, host.engine, client.engine]) {
      alive++;
      registry.register(handle);
    }
    host.close();
    client.close();
    fabric.close();
  };
  for (let i = 0; i < 20; i++) open();
  for (let i = 0; i < 50 && alive > 3; i++) {
    await sleep(10);
    globalThis.gc();
  }
  console.log(alive <= 3 ? "collected" : `still ${alive} handles`);
}
