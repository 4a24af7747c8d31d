import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { bootstrap, connect, createReplica, type Replica, type ReplicaEvent, status } from "squall";
import { describe, expect, it, onTestFinished } from "vitest";
import { echoMachine } from "./machines/echo.js";
import { converged, counterModule, echoModule, freePorts, rejection, startGroup, testCluster, until } from "./support.js";

const bytes = (text: string) => Buffer.from(text);
const closeAfter = (...replicas: Replica[]) =>
  onTestFinished(async () => void (await Promise.all(replicas.map((replica) => replica.close()))));

describe("createReplica", () => {
  it("refuses a machine that does not fit the thread", async () => {
    const cluster = await testCluster();
    expect(await rejection(createReplica({ cluster, id: 0, machine: echoMachine() }))).toMatchObject({
      code: "THREAD_MISMATCH",
      message: expect.stringContaining('thread: "main"'),
    });
    expect(await rejection(createReplica({ cluster, id: 0, machine: echoModule, thread: "main" }))).toMatchObject({
      code: "THREAD_MISMATCH",
    });
    expect(await rejection(createReplica({ cluster, id: 0, machine: {} as never, thread: "main" }))).toMatchObject({
      code: "MACHINE_INVALID",
    });
    expect(await rejection(createReplica({ cluster, id: 0, machine: undefined as never }))).toMatchObject({ code: "MACHINE_INVALID" });
    expect(await rejection(createReplica({ cluster, id: 0, machine: "./nowhere.js" }))).toMatchObject({ code: "MACHINE_LOAD_FAILED" });
    expect(await rejection(createReplica({ cluster, id: 0, machine: "data:text/javascript,export default 5" }))).toMatchObject({
      code: "MACHINE_INVALID",
    });
    expect(await rejection(createReplica({ cluster, id: 0, machine: "data:text/javascript,export const x = 5" }))).toMatchObject({
      code: "MACHINE_INVALID",
    });
  });

  it("refuses wrong options", async () => {
    const cluster = await testCluster();
    expect(await rejection(createReplica({ cluster, id: 3, machine: echoMachine, thread: "main" }))).toMatchObject({
      code: "INVALID_OPTION",
    });
    expect(await rejection(createReplica({ cluster, id: 0, machine: echoMachine, thread: "mein" } as never))).toMatchObject({
      code: "INVALID_OPTION",
    });
    expect(await rejection(createReplica({ cluster, id: 0, machin: echoMachine, thread: "main" } as never))).toMatchObject({
      code: "UNKNOWN_OPTION",
      message: expect.stringContaining('"machine"'),
    });
    for (const place of [{}, { id: 0, join: { ip: "127.0.0.1", port: 7100 } }, { join: "127.0.0.1:7100" }, { join: { ip: "127.0.0.1" } }]) {
      expect(await rejection(createReplica({ cluster, machine: echoMachine, thread: "main", ...place } as never))).toMatchObject({
        code: "INVALID_OPTION",
      });
    }
  });

  it.each(["main", "worker"] as const)("says that its port is in use (%s)", async (thread) => {
    const cluster = await testCluster();
    const machine = thread === "main" ? echoMachine : echoModule;
    const first = await createReplica({ cluster, id: 0, machine, thread });
    closeAfter(first);
    const { createSocket } = await import("node:dgram");
    const socket = createSocket("udp4");
    await new Promise<void>((resolve) => socket.bind(cluster.replicas[1]?.port, "127.0.0.1", resolve));
    onTestFinished(() => void socket.close());
    expect(await rejection(createReplica({ cluster, id: 0, machine: echoModule }))).toMatchObject({ code: "ADDRESS_IN_USE" });
    expect(await rejection(createReplica({ cluster, id: 1, machine, thread }))).toMatchObject({ code: "ADDRESS_IN_USE" });
    await first.close();
    const again = await createReplica({ cluster, id: 0, machine, thread });
    closeAfter(again);
    expect(again.address.port).toBe(cluster.replicas[0]?.port);
  });
});

describe("bootstrap", () => {
  it("needs all replicas, then happens once", async () => {
    const cluster = await testCluster();
    const replicas = await Promise.all([0, 1].map((id) => createReplica({ cluster, id, machine: echoMachine, thread: "main" })));
    closeAfter(...replicas);
    const incomplete = await rejection(bootstrap({ cluster, deadlineMs: 300 }));
    expect(incomplete).toMatchObject({ code: "BOOTSTRAP_INCOMPLETE", message: expect.stringContaining("replica 2") });
    expect(replicas[0]?.progress().status).toBe("recovery");
    const third = await createReplica({ cluster, id: 2, machine: echoMachine, thread: "main" });
    const events: ReplicaEvent[] = [];
    third.on("event", (event) => events.push(event));
    const { lifeId } = await bootstrap({ cluster });
    expect(lifeId).toMatch(/^[0-9a-f]{32}$/);
    expect(events.filter(({ type }) => type !== "recovery-progress")).toEqual([{ type: "bootstrapped", replica: 2, lifeId }]);
    expect(await rejection(bootstrap({ cluster }))).toMatchObject({ code: "ALREADY_BOOTSTRAPPED" });
    await third.close();
    const restarted = await createReplica({ cluster, id: 2, machine: echoMachine, thread: "main" });
    closeAfter(restarted);
    expect(await rejection(bootstrap({ cluster, deadlineMs: 300 }))).toMatchObject({ code: "ALREADY_BOOTSTRAPPED" });
    await expect
      .poll(async () => (await status({ cluster })).map((report) => report?.status), { timeout: 10_000 })
      .toEqual(["normal", "normal", "normal"]);
    expect(restarted.progress().status).toBe("normal");
  });

  it("names a replica with another configuration", async () => {
    const cluster = await testCluster();
    const other = { ...cluster, limits: { ...cluster.limits, window: 32 } };
    const replicas = await Promise.all(
      [0, 1, 2].map((id) => createReplica({ cluster: id === 1 ? other : cluster, id, machine: echoMachine, thread: "main" })),
    );
    closeAfter(...replicas);
    expect(await rejection(bootstrap({ cluster, deadlineMs: 300 }))).toMatchObject({
      code: "BOOTSTRAP_INCOMPLETE",
      message: expect.stringContaining("another configuration"),
    });
  });
});

describe("replicas in Workers", () => {
  it("serve beside one in the main thread, report and close; progress is read without asking", async () => {
    const cluster = await testCluster();
    const { default: counterMachine } = await import(counterModule.href);
    const replicas = await Promise.all([
      createReplica({ cluster, id: 0, machine: counterModule.pathname }),
      createReplica({ cluster, id: 1, machine: counterMachine, thread: "main" }),
      createReplica({ cluster, id: 2, machine: counterModule }),
    ]);
    closeAfter(...replicas);
    await bootstrap({ cluster });
    const client = await connect({ cluster });
    onTestFinished(() => client.close());
    const operation = Buffer.alloc(4);
    operation.writeInt32LE(2);
    const results = await Promise.all(Array.from({ length: 300 }, () => client.invoke(operation)));
    expect(Math.max(...results.map((result) => result.readDoubleLE()))).toBe(600);
    await converged(replicas);
    expect(new Set(await Promise.all(replicas.map((replica) => replica.digest()))).size).toBe(1);
    expect(await replicas[2]?.status()).toMatchObject({ id: 2, status: "normal", replicas: 3 });
    await replicas[2]?.close();
    await replicas[2]?.close();
    expect(replicas[2]?.progress().status).toBe("closed");
    expect(await rejection((replicas[2] as Replica).status())).toMatchObject({ code: "CLOSED" });
  });

  it("an uncaught error in the Worker is reported, not fatal", async () => {
    const cluster = await testCluster();
    const module = `data:text/javascript,${encodeURIComponent("setTimeout(() => { throw new Error('stray'); }, 200); export default { speculativelyExecute() {}, rollback() {} }")}`;
    const replica = await createReplica({ cluster, id: 0, machine: module });
    const closed = new Promise<ReplicaEvent>((resolve) => replica.on("event", (event) => event.type === "closed" && resolve(event)));
    expect(await closed).toEqual({ type: "closed", replica: 0 });
    expect(await rejection(replica.status())).toMatchObject({ code: "WORKER_FAILED", message: expect.stringContaining("stray") });
    await replica.close();
  });

  it("ends a Worker whose machine never returns", async () => {
    const ports = await freePorts(1);
    const cluster = await testCluster({ ports });
    const module = `data:text/javascript,${encodeURIComponent("export default { speculativelyExecute() { for (;;); }, rollback() {} }")}`;
    const replica = await createReplica({ cluster, id: 0, machine: module });
    await bootstrap({ cluster });
    const client = await connect({ cluster });
    onTestFinished(() => client.close());
    expect(await rejection(client.invoke(bytes("x"), { deadlineMs: 100 }))).toMatchObject({
      code: "DEADLINE_EXCEEDED",
      outcome: "unknown",
    });
    expect(replica.progress()).toMatchObject({ status: "normal" });
    await replica.close();
  });
});

describe("a machine that fails", () => {
  it.each([
    ["throw null", "MACHINE_THREW", "threw null"],
    ["throw error", "MACHINE_THREW", "RangeError: not today"],
    ["promise", "MACHINE_RETURNED_PROMISE", "promise"],
    ["invalid", "MACHINE_RETURNED_INVALID", "object"],
    ["huge", "RESULT_TOO_LARGE", "exceeds"],
  ])("at every replica alike (%s) gives a typed error, and the group goes on", async (operation, code, text) => {
    const group = await startGroup();
    const client = await group.connect();
    const around = Array.from({ length: 40 }, (_, i) => client.invoke(bytes(`before ${i}`)));
    const failed = client.invoke(bytes(operation));
    around.push(...Array.from({ length: 40 }, (_, i) => client.invoke(bytes(`after ${i}`))));
    expect(await rejection(failed)).toMatchObject({ code, outcome: "executed", message: expect.stringContaining(text) });
    expect((await Promise.all(around)).length).toBe(80);
    await converged(group.replicas);
    expect(new Set(await Promise.all(group.replicas.map((replica) => replica.digest()))).size).toBe(1);
    expect(group.replicas.map((replica) => replica.progress().halted)).toEqual([false, false, false]);
  });

  it("at one replica halts that replica, which says so; its peers go on", async () => {
    const group = await startGroup();
    const events: unknown[] = [];
    const listener = (event: unknown) => void events.push(event);
    subscribe("squall:replica", listener);
    onTestFinished(() => void unsubscribe("squall:replica", listener));
    const odd = group.machines[1] as ReturnType<typeof echoMachine>;
    const original = odd.speculativelyExecute;
    odd.speculativelyExecute = function (this: typeof odd, ...parameters: Parameters<typeof original>) {
      if (String(parameters[1]) === "odd") throw new Error("only here");
      return original.apply(this, parameters);
    } as typeof original;
    const client = await group.connect();
    await client.invoke(bytes("even"));
    const result = client.invoke(bytes("odd"), { deadlineMs: 10_000 });
    expect(String(await result)).toBe("odd");
    expect(String(await client.invoke(bytes("later"), { deadlineMs: 10_000 }))).toBe("later");
    await until(() => group.replicas[1]?.progress().halted === true, "replica 1 halts");
    expect((await group.replicas[1]?.status())?.failure).toMatchObject({
      code: "MACHINE_THREW",
      upcall: "speculativelyExecute",
      message: "Error: only here",
    });
    expect(events).toContainEqual(expect.objectContaining({ type: "machine-error", replica: 1, message: "Error: only here" }));
    expect(group.replicas.map((replica) => replica.progress().halted)).toEqual([false, true, false]);
  });

  it("keeps nothing of an operation in debug mode; may keep copies", async () => {
    for (const copy of [false, true]) {
      const group = await startGroup({ debug: true, copy });
      const kept: Buffer[] = [];
      const machine = group.machines[0] as ReturnType<typeof echoMachine>;
      machine.speculativelyExecute = ((_seqno: number, operation: Buffer) => {
        kept.push(operation);
        return Buffer.from(operation);
      }) as never;
      const client = await group.connect();
      await client.invoke(bytes("keep me"));
      await until(() => kept.length > 0, "replica 0 executes");
      expect(String(kept[0])).toBe(copy ? "keep me" : "\uFFFD".repeat(7));
    }
  });
});
