import type { Form } from "../commit/calls.js";
import { Group } from "../commit/group.js";
import { median, round } from "../statistics.js";
import { temporaryFolder } from "../temporary-folder.js";

/**
 * JavaScript heap per operation. The young generation is made so large that no collection comes during a run: then the growth of
 * the used heap is what was allocated. What an idle group allocates in the same time (reading the figures above all) is taken out.
 * With one outstanding, what is allocated per batch counts as per operation.
 */
const semiSpaceMegabytes = 192;
const seconds = 0.4;
const rounds = 5;
const windows = [1, 64] as const;

interface Growth {
  /** Mean over the replicas. */
  replica: number;
  client: number;
  operations: number;
}

async function growth(
  group: Group,
  act: () => Promise<{ operations: number; heapBytes: number; collections: number }>,
): Promise<Growth | undefined> {
  await group.collect();
  const before = await group.heaps();
  const client = await act();
  const after = await group.heaps();
  const each = after.map((heap, i) => heap.usedBytes - before[i]!.usedBytes);
  const collected = client.collections > 0 || after.some((heap, i) => heap.collections !== before[i]!.collections);
  if (collected) return undefined;
  return { replica: each.reduce((sum, bytes) => sum + bytes, 0) / each.length, client: client.heapBytes, operations: client.operations };
}

/** The median of several runs in which no garbage was collected. */
async function perOperation(group: Group, window: number, form: Form, idle: Growth): Promise<{ replica: number; client: number }> {
  const replica: number[] = [];
  const client: number[] = [];
  for (let i = 0; i < rounds * 2 && replica.length < rounds; i++) {
    const run = await growth(group, () => group.allocate({ window, seconds: form === "bare" ? seconds / 4 : seconds, form }));
    if (run === undefined) continue;
    replica.push((run.replica - idle.replica) / run.operations);
    client.push((run.client - idle.client) / run.operations);
  }
  return { replica: round(median(replica)), client: round(median(client)) };
}

export async function benchGarbage(json: boolean): Promise<number> {
  const folder = temporaryFolder();
  const size = String(semiSpaceMegabytes);
  const execArgv = ["--expose-gc", `--min-semi-space-size=${size}`, `--max-semi-space-size=${size}`];
  const group = await Group.start({ folder, name: "garbage", design: "multicast", clients: 1, execArgv });
  for (const form of ["promise", "callback", "promise", "callback"] as const) await group.allocate({ window: 64, seconds: 0.5, form });
  const none: Growth = { replica: 0, client: 0, operations: 0 };
  const nothing = { operations: 0, heapBytes: 0, collections: 0 };
  const pause = () => new Promise<typeof nothing>((resolve) => setTimeout(() => resolve(nothing), seconds * 1000));
  const idle = (await growth(group, pause)) ?? none;
  const figures: Record<string, number> = {};
  console.log("JavaScript heap allocated per operation, bytes      replica    client, callback    client, promise");
  for (const window of windows) {
    const callback = await perOperation(group, window, "callback", idle);
    const promise = await perOperation(group, window, "promise", idle);
    const columns = [callback.replica, callback.client, promise.client].map((bytes, i) => String(bytes).padStart([9, 20, 19][i]!));
    console.log(`  ${String(window).padStart(2)} outstanding                                     ${columns.join("")}`);
    figures[`replicaBytes${window}`] = callback.replica;
    figures[`clientCallbackBytes${window}`] = callback.client;
    figures[`clientPromiseBytes${window}`] = promise.client;
  }
  const bare = await perOperation(group, 64, "bare", none);
  figures.barePromiseBytes = bare.client;
  console.log(`  an awaited promise of an 8-byte Buffer, without Squall ${" ".repeat(33)}${String(bare.client).padStart(14)}`);
  await group.run(1, 64, 0.2);
  group.stop();
  for (const what of group.wrong) console.log(`WRONG: ${what}`);
  if (json) console.log(JSON.stringify(figures));
  return group.wrong.length === 0 ? 0 : 1;
}
