/** Checkpoints, truncation and state transfer between real replicas in this thread. */
import { createHash, randomBytes } from "node:crypto";
import { bootstrap, connect, createReplica, type Machine, type Replica, type ReplicaEvent } from "squall";
import { describe, expect, it, onTestFinished } from "vitest";
import { closeHashPool, hashThreads } from "../../dist/data/hashing.js";
import { converged, rejection, testCluster, until } from "./support.js";

const every = 64;

/** Slots of bytes that operations change; its snapshot may come in chunks, which are copies made when it is asked for. */
function slots(count: number, chunks: boolean) {
  const bytes = Array.from({ length: count }, () => Buffer.alloc(1024));
  const undo: { slot: number; before: number }[] = [];
  let committed = 0;
  let last = 0;
  return {
    snapshots: 0,
    restored: 0,
    speculativelyExecute(seqno, operation) {
      const slot = operation.readUInt32LE(0) % count;
      const cell = bytes[slot]!;
      undo.push({ slot, before: cell.readUInt32LE(0) });
      cell.writeUInt32LE(cell.readUInt32LE(0) + 1, 0);
      last = seqno;
      return Buffer.from(cell.subarray(0, 4));
    },
    rollback(_from, to, operations) {
      for (const _ of operations) {
        const { slot, before } = undo.pop()!;
        bytes[slot]!.writeUInt32LE(before, 0);
      }
      last = to;
    },
    commit(seqno) {
      committed = seqno;
    },
    snapshot() {
      // What is not committed is not in a snapshot.
      if (last > committed) throw new Error(`snapshot at ${last} with ${committed} committed`);
      this.snapshots++;
      if (!chunks) return Buffer.concat(bytes);
      const copies = bytes.map((cell) => Buffer.from(cell));
      const reused = Buffer.alloc(1024);
      return (function* () {
        for (const copy of copies) {
          copy.copy(reused);
          yield reused;
        }
      })();
    },
    restore(snapshot) {
      this.restored++;
      bytes.forEach((cell, slot) => {
        cell.set(snapshot.subarray(1024 * slot, 1024 * (slot + 1)));
      });
      undo.length = 0;
    },
    digest: () => createHash("sha256").update(Buffer.concat(bytes)).digest(),
  } satisfies Machine & { snapshots: number; restored: number };
}

async function start<M extends Machine>(make: (id: number) => M, logEntries = 1024) {
  const cluster = await testCluster({ limits: { checkpointEvery: every, logEntries } });
  const machines: M[] = [];
  const events: ReplicaEvent[] = [];
  const open = async (id: number): Promise<Replica> => {
    const machine = make(id);
    machines[id] = machine;
    const replica = await createReplica({ cluster, id, machine, thread: "main" });
    replica.on("event", (event: ReplicaEvent) => events.push(event));
    onTestFinished(() => replica.close());
    return replica;
  };
  const replicas = await Promise.all([0, 1, 2].map(open));
  await bootstrap({ cluster });
  const client = await connect({ cluster });
  onTestFinished(() => client.close());
  const operate = (count: number) =>
    Promise.all(Array.from({ length: count }, () => client.invoke(randomBytes(8), { deadlineMs: 20_000 })));
  return { cluster, replicas, machines, events, client, operate, open };
}

describe.each([
  ["small", 16, false, 1024],
  // The log must hold what comes until the first hash is there: the threads have to start.
  ["hashed on another thread", 600, false, 16_384],
  ["large, in chunks", 600, true, 16_384],
] as const)("a state that is %s", (_, count, chunks, logEntries) => {
  it("is kept every so often, the log truncated, and handed to a replica that has lost it", async () => {
    const { replicas, machines, events, operate, open } = await start(() => slots(count, chunks), logEntries);
    for (let i = 0; i < 12; i++) await operate(100);
    await until(async () => {
      await operate(20);
      return replicas.every((replica) => replica.progress().logBase > 200);
    }, "the log is truncated");
    await converged(replicas);
    for (const replica of replicas) {
      const { logBase, checkpoint, speculative } = replica.progress();
      expect(checkpoint - logBase).toBeGreaterThan(0);
      expect(speculative - logBase).toBeLessThan(logEntries);
    }
    const first = replicas[0] as Replica;
    await replicas[2]?.close();
    await operate(300);
    replicas[2] = await open(2);
    await operate(100);
    await until(() => replicas[2]?.progress().status === "normal", "it takes part again", 15_000);
    await converged(replicas);
    expect(machines[2]?.restored).toBeGreaterThan(0);
    expect(events.some((event) => event.type === "restored" && event.replica === 2)).toBe(true);
    expect(await replicas[2]?.digest()).toBe(await first.digest());
    expect(events.filter((event) => event.type === "invariant-broken" || event.type === "machine-error")).toEqual([]);
    expect(first.progress().speculative).toBeGreaterThan(1500);
  });
});

it("large operations that a blank replica fetches are hashed on other threads, and its log is the others'", async () => {
  const { replicas, client, open, events } = await start(() => slots(16, false), 1024);
  const large = 300_000;
  for (let i = 0; i < 4; i++) {
    await Promise.all(Array.from({ length: 8 }, () => client.invoke(randomBytes(large), { deadlineMs: 20_000 })));
  }
  await replicas[2]?.close();
  await closeHashPool();
  replicas[2] = await open(2);
  await until(() => replicas[2]?.progress().status === "normal", "it takes part again", 15_000);
  await converged(replicas);
  expect(hashThreads()).toBeGreaterThan(0);
  expect(replicas[2]?.progress().checkpoint).toBe(0);
  expect(await replicas[2]?.digest()).toBe(await replicas[0]?.digest());
  expect(events.filter((event) => event.type === "invariant-broken")).toEqual([]);
});

it("a machine whose rollback does not undo stops loudly", async () => {
  const { replicas, events, client } = await start(() => {
    let count = 0;
    return {
      speculativelyExecute: () => Buffer.from(String(++count)),
      rollback: () => {},
      snapshot: () => Buffer.from(String(count)),
      restore: () => {},
    };
  });
  const outcomes = Array.from({ length: 20_000 }, () => client.invoke(randomBytes(8), { deadlineMs: 5_000 }));
  for (const outcome of outcomes) outcome.catch(() => {});
  await until(() => events.some((event) => event.type === "invariant-broken"), "a replica stops", 10_000);
  const [event] = events.filter((one) => one.type === "invariant-broken");
  expect(event?.type === "invariant-broken" && event.message).toMatch(/rollback or speculativelyExecute is not deterministic/);
  await Promise.all(replicas.map((replica) => replica.close()));
  await client.close();
});

it("a replica whose state differs from the others' stops at the next checkpoint", async () => {
  const { replicas, events, operate } = await start((id) => {
    const machine = slots(16, false);
    return id === 1 ? { ...machine, snapshot: () => Buffer.from("something else") } : machine;
  });
  await operate(every + 10);
  await until(() => events.some((event) => event.type === "diverged"), "it notices");
  const diverged = events.filter((event) => event.type === "diverged" || event.type === "invariant-broken");
  expect(diverged.map(({ type, replica }) => [type, replica])).toEqual([
    ["diverged", 1],
    ["invariant-broken", 1],
  ]);
  await until(() => replicas[1]?.progress().status === "closed", "it has closed");
  // The others go on without it.
  await operate(50);
});

it("a snapshot that throws is told, and nothing else stops", async () => {
  const { events, operate } = await start(() => ({
    ...slots(16, false),
    snapshot: () => {
      throw new Error("not today");
    },
  }));
  await operate(2 * every);
  await until(() => events.some((event) => event.type === "checkpoint-refused"), "it is told");
  expect(events.find((event) => event.type === "checkpoint-refused")).toMatchObject({ error: new Error("not today") });
  expect(await rejection(operate(10).then(() => Promise.reject(new Error("served"))))).toMatchObject({ message: "served" });
});
