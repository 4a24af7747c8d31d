import { bootstrap, type Client, connect, createReplica, type ReadOptions, type Replica } from "squall";
import { describe, expect, it, onTestFinished } from "vitest";
import { cellMachine } from "./machines/cell.js";
import { converged, counterModule, rejection, startGroup, type TestClusterOptions, testCluster, until } from "./support.js";

const bytes = (text: string) => Buffer.from(text);
const levels = ["linearizable", "session", "stale"] as const;

async function cells(options: TestClusterOptions & { debug?: boolean } = {}) {
  const cluster = await testCluster(options);
  const machines = cluster.replicas.map(() => cellMachine());
  const replicas = await Promise.all(
    machines.map((machine, id) => createReplica({ cluster, id, machine, thread: "main", debug: options.debug === true })),
  );
  onTestFinished(async () => void (await Promise.all(replicas.map((replica) => replica.close()))));
  await bootstrap({ cluster });
  const join = async (more: object = {}): Promise<Client> => {
    const client = await connect({ cluster, ...more });
    onTestFinished(() => client.close());
    return client;
  };
  return { cluster, machines, replicas, client: await join(), join };
}

const logEnd = (replica: Replica | undefined) => replica?.progress().speculative;

describe("reads", () => {
  it.each(levels)("of level %s see the session's own writes, and are not logged", async (consistency) => {
    const { client, replicas } = await cells();
    for (let i = 0; i < 20; i++) {
      await client.invoke(bytes(`${i}`));
      if (consistency === "stale") await until(() => replicas.every((replica) => replica.progress().executed === i + 2), "all execute");
      expect(String(await client.read(bytes("?"), { consistency }))).toBe(`${i}`);
    }
    expect(client.metrics().reads + client.metrics().readsLogged).toBe(20);
    const end = 21 + client.metrics().readsLogged;
    await converged(replicas);
    expect(replicas.map(logEnd)).toEqual([end, end, end]);
    expect(replicas.reduce((sum, replica) => sum + replica.progress().counters.reads, 0)).toBeGreaterThanOrEqual(client.metrics().reads);
  });

  it("are linearizable by default: another client sees what was completed before", async () => {
    const { client, join } = await cells();
    const other = await join();
    for (let i = 0; i < 50; i++) {
      await client.invoke(bytes(`${i}`));
      expect(String(await other.read(bytes("?")))).toBe(`${i}`);
    }
  });

  it("need no more than a majority in a LEADER view", async () => {
    const { client, replicas } = await cells({ mode: "leader" });
    await client.invoke(bytes("x"));
    await converged(replicas);
    await replicas[2]?.close();
    expect(String(await client.read(bytes("?"), { deadlineMs: 20_000 }))).toBe("x");
    expect(client.metrics()).toMatchObject({ reads: 1, readsLogged: 0 });
  });

  it("become logged operations where too few replicas answer alike", async () => {
    const { client, replicas, machines } = await cells({ mode: "speculative" });
    await client.invoke(bytes("x"));
    await replicas[2]?.close();
    expect(String(await client.read(bytes("?"), { deadlineMs: 20_000 }))).toBe("x");
    expect(client.metrics().readsLogged).toBe(1);
    expect(client.metrics().reads).toBe(0);
    await converged(replicas.slice(0, 2));
    expect(logEnd(replicas[0])).toBeGreaterThanOrEqual(3);
    expect(machines[0]?.snapshot().toString()).toBe("\nx");
    // Neither level below needs more than one replica.
    expect(String(await client.read(bytes("?"), { consistency: "session", deadlineMs: 20_000 }))).toBe("x");
    expect(String(await client.read(bytes("?"), { consistency: "stale", deadlineMs: 20_000 }))).toBe("x");
    expect(client.metrics().reads).toBe(2);
  });

  it("stay right while requests reach the replicas in different orders", async () => {
    const { client, replicas, join } = await cells();
    const reader = await join();
    client.scramble(true);
    const writes: Promise<unknown>[] = [];
    const reads: Promise<Buffer>[] = [];
    for (let i = 0; i < 100; i++) {
      writes.push(client.invoke(bytes(`${i}`)));
      for (const consistency of levels) reads.push(reader.read(bytes("?"), { consistency }));
    }
    await Promise.all(writes);
    client.scramble(false);
    const allowed = new Set(["", ...Array.from({ length: 100 }, (_, i) => `${i}`)]);
    for (const read of await Promise.all(reads)) expect(allowed).toContain(read.toString());
    await client.invoke(bytes("last"));
    expect(String(await reader.read(bytes("?")))).toBe("last");
    await converged(replicas);
    expect(new Set(await Promise.all(replicas.map((replica) => replica.digest()))).size).toBe(1);
  });

  it("of many sizes come back whole, more than the window at once", async () => {
    const { client } = await cells();
    const sizes = [5, 64, 1024, 1025, 16_385, 70_000, 1024 * 1024];
    const operations = sizes.map((size, i) => Buffer.concat([bytes("blob"), Buffer.alloc(size - 4, i + 1)]));
    const blobs = await Promise.all(operations.map((operation) => client.read(operation)));
    expect(blobs.map((blob, i) => blob.equals(operations[i] as Buffer))).not.toContain(false);
    const answers = await Promise.all(Array.from({ length: 500 }, (_, i) => client.read(bytes(i % 2 ? "echo" : "?"))));
    expect(answers.map(String)).toEqual(Array.from({ length: 500 }, (_, i) => (i % 2 ? "echo" : "")));
    expect((await client.read(bytes("nothing"))).length).toBe(0);
    const [time, random] = (await client.read(bytes("context"))).toString().split(" ").map(Number);
    expect(Math.abs((time as number) - Date.now())).toBeLessThan(10_000);
    expect(random).toBeLessThan(1);
  });

  it("go through Workers and the counter that is part of the package", async () => {
    const cluster = await testCluster();
    const replicas = await Promise.all([0, 1, 2].map((id) => createReplica({ cluster, id, machine: counterModule })));
    onTestFinished(async () => void (await Promise.all(replicas.map((replica) => replica.close()))));
    await bootstrap({ cluster });
    const client = await connect({ cluster });
    onTestFinished(() => client.close());
    for (let i = 0; i < 5; i++) await client.invoke(Buffer.from([2, 0, 0, 0]));
    for (const consistency of ["linearizable", "session"] as const) {
      expect((await client.read(Buffer.alloc(0), { consistency })).readDoubleLE()).toBe(10);
    }
  });
});

describe("a read that fails", () => {
  it.each(levels)("says so, level %s, and the replicas go on", async (consistency) => {
    const { client, replicas } = await cells();
    const read = (text: string) => rejection(client.read(bytes(text), { consistency }));
    expect(await read("throw")).toMatchObject({
      code: "MACHINE_THREW",
      outcome: "not-executed",
      message: expect.stringContaining("not today"),
    });
    expect(await read("promise")).toMatchObject({ code: "MACHINE_RETURNED_PROMISE", outcome: "not-executed" });
    expect(await read("invalid")).toMatchObject({ code: "MACHINE_RETURNED_INVALID" });
    expect(await read("huge")).toMatchObject({ code: "RESULT_TOO_LARGE", outcome: "not-executed" });
    expect(replicas.map((replica) => replica.progress().halted)).toEqual([false, false, false]);
    await client.invoke(bytes("on"));
    expect(String(await client.read(bytes("?")))).toBe("on");
  });

  it("has changed nothing where it was logged, either", async () => {
    const { client, replicas } = await cells({ mode: "speculative" });
    await replicas[2]?.close();
    const error = await rejection(client.read(bytes("throw"), { deadlineMs: 20_000 }));
    expect(error).toMatchObject({ code: "MACHINE_THREW", outcome: "not-executed" });
    expect(client.metrics().readsLogged).toBe(1);
  });

  it("names a machine without query, also where it is logged", async () => {
    const group = await startGroup();
    const client = await group.connect();
    for (const consistency of levels) {
      expect(await rejection(client.read(bytes("?"), { consistency }))).toMatchObject({
        code: "QUERY_UNSUPPORTED",
        outcome: "not-executed",
      });
    }
    await group.replicas[0]?.close();
    expect(await rejection(client.read(bytes("?"), { deadlineMs: 20_000 }))).toMatchObject({ code: "QUERY_UNSUPPORTED" });
  });

  it("stops a replica in debug mode when it changes the state", async () => {
    const { client, replicas } = await cells({ debug: true });
    await client.invoke(bytes("x"));
    expect(String(await client.read(bytes("?")))).toBe("x");
    const failed = new Promise<{ upcall?: string; message?: string }>((resolve) => {
      for (const replica of replicas)
        replica.on("event", (event) => {
          if (event.type === "machine-error") resolve(event);
        });
    });
    await rejection(client.read(bytes("change"), { consistency: "stale", deadlineMs: 300 })).catch(() => {});
    expect(await failed).toMatchObject({ upcall: "query", message: expect.stringContaining("changed the machine's state") });
  });

  it("refuses wrong arguments, and gives up at its deadline or signal", async () => {
    const { client, replicas } = await cells({ limits: { queue: 8 } });
    const wrong = (options: object, operation: unknown = bytes("?")) => rejection(client.read(operation as Buffer, options as ReadOptions));
    expect(await wrong({ consistency: "linearisable" })).toMatchObject({
      code: "INVALID_OPTION",
      message: expect.stringContaining('"linearizable"'),
    });
    expect(await wrong({ consistancy: "stale" })).toMatchObject({
      code: "UNKNOWN_OPTION",
      message: expect.stringContaining('"consistency"'),
    });
    expect(await wrong({}, "text")).toMatchObject({ code: "INVALID_OPTION" });
    expect(await wrong({}, Buffer.alloc(1024 * 1024 + 1))).toMatchObject({ code: "OPERATION_TOO_LARGE", outcome: "not-executed" });
    await Promise.all(replicas.map((replica) => replica.close()));
    const many = Array.from({ length: 64 }, () => client.read(bytes("?"), { deadlineMs: 200, consistency: "stale" }));
    const queued = Array.from({ length: 8 }, () => client.read(bytes("?"), { signal: AbortSignal.timeout(200) }));
    const refused = client.read(bytes("?"));
    expect(await rejection(refused)).toMatchObject({ code: "QUEUE_FULL", outcome: "not-executed" });
    for (const read of many) expect(await rejection(read)).toMatchObject({ code: "DEADLINE_EXCEEDED", outcome: "unknown" });
    for (const read of queued) expect(await rejection(read)).toMatchObject({ code: "ABORTED", outcome: "not-executed" });
    client.close();
    expect(await rejection(client.read(bytes("?")))).toMatchObject({ code: "CLOSED", outcome: "not-executed" });
  });

  it("is rejected by close, in all places where it may wait", async () => {
    const { client, replicas } = await cells();
    await Promise.all(replicas.map((replica) => replica.close()));
    const reads = Array.from({ length: 100 }, () => rejection(client.read(bytes("?"))));
    // Some are handed to the log meanwhile, and wait there.
    await until(() => client.metrics().readsLogged > 0, "a read is to be logged");
    client.close();
    for (const read of await Promise.all(reads)) expect(read).toMatchObject({ code: "CLOSED" });
  });
});
