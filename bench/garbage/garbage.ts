import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Form } from "../commit/calls.js";
import { Group } from "../commit/group.js";
import { median, round } from "../statistics.js";

/**
 * JavaScript heap per operation. The young generation is made so large that no collection comes during a run: then the growth of
 * the used heap is what was allocated. What grows with time and not with operations (timers, SYNC, reading the figures) is taken
 * out by the slope between a slow and a fast run of the same length.
 */
const semiSpaceMegabytes = 192;
const seconds = 0.4;
const rounds = 5;

interface Sample {
  operations: number;
  /** Mean over the replicas. */
  replicaBytes: number;
  clientBytes: number;
  collected: boolean;
}

async function sample(group: Group, window: number, form: Form): Promise<Sample> {
  await group.collect();
  const before = await group.heaps();
  const client = await group.allocate({ window, seconds, form });
  const after = await group.heaps();
  const growth = after.map((heap, i) => heap.usedBytes - before[i]!.usedBytes);
  return {
    operations: client.operations,
    replicaBytes: growth.reduce((sum, bytes) => sum + bytes, 0) / growth.length,
    clientBytes: client.heapBytes,
    collected: client.collections > 0 || after.some((heap, i) => heap.collections !== before[i]!.collections),
  };
}

/** Bytes per operation: what a fast run allocated more than a slow one. */
async function slopes(group: Group, form: Form): Promise<{ replica: number; client: number }> {
  const replica: number[] = [];
  const client: number[] = [];
  for (let i = 0; i < rounds * 2 && replica.length < rounds; i++) {
    const slow = await sample(group, 1, form);
    const fast = await sample(group, 64, form);
    if (slow.collected || fast.collected) continue;
    const operations = fast.operations - slow.operations;
    replica.push((fast.replicaBytes - slow.replicaBytes) / operations);
    client.push((fast.clientBytes - slow.clientBytes) / operations);
  }
  return { replica: median(replica), client: median(client) };
}

export async function benchGarbage(json: boolean): Promise<number> {
  const folder = mkdtempSync(join(tmpdir(), "squall-bench-"));
  process.once("exit", () => rmSync(folder, { recursive: true, force: true }));
  const size = String(semiSpaceMegabytes);
  const execArgv = ["--expose-gc", `--min-semi-space-size=${size}`, `--max-semi-space-size=${size}`];
  const group = await Group.start({ folder, name: "garbage", design: "multicast", clients: 1, execArgv });
  for (const form of ["promise", "callback", "promise", "callback"] as const) await group.allocate({ window: 64, seconds: 0.5, form });
  const callback = await slopes(group, "callback");
  const promise = await slopes(group, "promise");
  const bare: number[] = [];
  for (let i = 0; i < rounds; i++) {
    await group.collect();
    const run = await group.allocate({ window: 64, seconds: seconds / 4, form: "bare" });
    if (run.collections === 0) bare.push(run.heapBytes / run.operations);
  }
  await group.run(1, 64, 0.2);
  group.stop();
  const figures = {
    replicaBytesPerOperation: round(callback.replica, 2),
    clientCallbackBytesPerOperation: round(callback.client, 2),
    clientPromiseBytesPerOperation: round(promise.client, 1),
    barePromiseAndResultBytes: round(median(bare), 1),
  };
  console.log("JavaScript heap allocated per operation");
  console.log(`  replica                                        ${figures.replicaBytesPerOperation} bytes`);
  console.log(`  client, callback form                          ${figures.clientCallbackBytesPerOperation} bytes`);
  console.log(`  client, promise form                           ${figures.clientPromiseBytesPerOperation} bytes`);
  console.log(`  of these: a bare promise and an 8-byte Buffer  ${figures.barePromiseAndResultBytes} bytes`);
  for (const what of group.wrong) console.log(`WRONG: ${what}`);
  if (json) console.log(JSON.stringify(figures));
  return group.wrong.length === 0 ? 0 : 1;
}
