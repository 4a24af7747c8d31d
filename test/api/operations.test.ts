import { connect, createReplica, type SquallError, status } from "squall";
import { describe, expect, it, onTestFinished } from "vitest";
import { clusterContent, converged, rejection, startGroup, testCluster } from "./support.js";

const bytes = (text: string) => Buffer.from(text);

describe("operations", () => {
  it("are executed at every replica, in one order, with the result at the client", async () => {
    const group = await startGroup();
    const client = await group.connect();
    const results = await Promise.all(Array.from({ length: 500 }, (_, i) => client.invoke(bytes(`op ${i}`))));
    expect(results.map(String)).toEqual(Array.from({ length: 500 }, (_, i) => `op ${i}`));
    await converged(group.replicas);
    expect(group.machines[1]?.log).toEqual(group.machines[0]?.log);
    expect(group.machines[2]?.log).toEqual(group.machines[0]?.log);
    expect(new Set(await Promise.all(group.replicas.map((replica) => replica.digest()))).size).toBe(1);
    expect(group.machines[0]?.committed).toBe(group.replicas[0]?.progress().committed);
    const report = await group.replicas[0]?.status({ digest: true });
    expect(report).toMatchObject({ id: 0, status: "normal", mode: "speculative", view: 0, halted: false, committedHash: report?.hash });
    expect(report?.hash).toMatch(/^[0-9a-f]{64}$/);
    expect(report?.digest).toBe(await group.replicas[1]?.digest());
    expect(client.metrics()).toMatchObject({ completions: 500, outstanding: 0, queued: 0 });
    expect(group.replicas[0]?.metrics().appended).toBeGreaterThanOrEqual(500);
  });

  it("are ordered by the leader where the cluster file says so", async () => {
    const group = await startGroup({ mode: "leader" });
    const client = await group.connect();
    const results = await Promise.all(Array.from({ length: 500 }, (_, i) => client.invoke(bytes(`op ${i}`))));
    expect(results.map(String)).toEqual(Array.from({ length: 500 }, (_, i) => `op ${i}`));
    const big = Buffer.alloc(1024 * 1024, 7);
    expect((await client.invoke(big)).equals(big)).toBe(true);
    await converged(group.replicas);
    expect(group.machines[1]?.log).toEqual(group.machines[0]?.log);
    expect(group.machines[2]?.log).toEqual(group.machines[0]?.log);
    const reports = await Promise.all(group.replicas.map((replica) => replica.status()));
    expect(reports.map(({ mode, view }) => ({ mode, view }))).toEqual(Array(3).fill({ mode: "leader", view: 0 }));
    const sent = group.replicas.map((replica) => replica.metrics().repliesSent);
    expect(sent[0]).toBeGreaterThanOrEqual(500);
    // Backups answer retransmissions of what is committed, and nothing else.
    expect(sent.slice(1).every((count) => (count ?? 0) < 500)).toBe(true);
  });

  it("of many sizes come back whole, their results the caller's own", async () => {
    const group = await startGroup();
    const client = await group.connect();
    const sizes = [0, 1, 63, 64, 65, 1024, 1025, 16_384, 16_385, 70_000, 1024 * 1024];
    const operations = sizes.map((size, i) => Buffer.alloc(size, i + 1));
    const results = await Promise.all(operations.map((operation) => client.invoke(operation)));
    expect(results.map((result, i) => result.equals(operations[i] as Buffer))).not.toContain(false);
    expect((await client.invoke(bytes("nothing"))).length).toBe(0);
  });

  it("are copied at once: the caller may reuse the buffer", async () => {
    const group = await startGroup();
    const client = await group.connect({ window: 2 });
    const buffer = Buffer.alloc(8);
    const results = await Promise.all(
      Array.from({ length: 100 }, (_, i) => {
        buffer.writeDoubleLE(i);
        return client.invoke(buffer);
      }),
    );
    expect(results.map((result) => result.readDoubleLE())).toEqual(Array.from({ length: 100 }, (_, i) => i));
  });

  it("see the same clock and random numbers at every replica", async () => {
    const group = await startGroup();
    const client = await group.connect();
    const [time, first, second] = (await client.invoke(bytes("context"))).toString().split(" ").map(Number);
    expect(Math.abs((time as number) - Date.now())).toBeLessThan(10_000);
    expect(first).not.toBe(second);
  });

  it("may be issued by callback, whose errors concern nobody else", async () => {
    const group = await startGroup();
    const client = await group.connect();
    const seen = await new Promise<[string, number][]>((resolve) => {
      const results: [string, number][] = [];
      for (let i = 0; i < 200; i++) {
        client.invokeWith(bytes(`op ${i}`), (error, result, seqno) => {
          if (error === undefined) results.push([result.toString(), seqno]);
          if (results.length === 200) resolve(results);
        });
      }
    });
    expect(new Set(seen.map(([result]) => result)).size).toBe(200);
    expect(new Set(seen.map(([, seqno]) => seqno)).size).toBe(200);
    const uncaught = new Promise((resolve) => {
      const listeners = process.listeners("uncaughtException");
      process.removeAllListeners("uncaughtException");
      process.once("uncaughtException", (error) => {
        for (const listener of listeners) process.on("uncaughtException", listener);
        resolve(error);
      });
    });
    client.invokeWith(bytes("x"), () => {
      throw new Error("mine");
    });
    const other = client.invoke(bytes("y"));
    expect(await uncaught).toMatchObject({ message: "mine" });
    expect(String(await other)).toBe("y");
  });

  it("go in order within an ordered session", async () => {
    const group = await startGroup();
    const client = await group.connect({ ordered: true });
    await Promise.all(Array.from({ length: 300 }, (_, i) => client.invoke(bytes(`${i}`))));
    await converged(group.replicas);
    expect(group.machines[0]?.log.map((line) => Number(line.split(" ")[1]))).toEqual(Array.from({ length: 300 }, (_, i) => i));
  });

  it("survive replicas that receive them in different orders: reconciled, rolled back, healed", async () => {
    const group = await startGroup();
    const client = await group.connect();
    client.scramble(true);
    const results = await Promise.all(Array.from({ length: 200 }, (_, i) => client.invoke(bytes(`op ${i}`))));
    client.scramble(false);
    expect(results.map(String)).toEqual(Array.from({ length: 200 }, (_, i) => `op ${i}`));
    await client.invoke(bytes("last"));
    await converged(group.replicas);
    const progress = group.replicas.map((replica) => replica.progress());
    expect(Math.max(...progress.map((p) => p.counters.reconciliations))).toBeGreaterThan(0);
    expect(progress.reduce((sum, p) => sum + p.counters.rolledBack, 0)).toBeGreaterThan(0);
    expect(new Set(await Promise.all(group.replicas.map((replica) => replica.digest()))).size).toBe(1);
    expect(group.machines[1]?.log).toEqual(group.machines[0]?.log);
    expect(new Set(group.machines[0]?.log.map((line) => line.split(" ").slice(1).join(" "))).size).toBe(201);
  });
});

describe("every design and address family", () => {
  it.each([
    ["multicast", "127.0.0.1", (port: number) => ({ design: "multicast" as const, multicast: { group: "239.255.77.1", port } })],
    ["unicast over IPv6", "::1", undefined],
    ["multicast over IPv6", "::1", (port: number) => ({ design: "multicast" as const, multicast: { group: "ff15::7:1", port } })],
  ])("%s", async (_name, host, network) => {
    const group = await startGroup({ host, ...(network === undefined ? {} : { network }) });
    const client = await group.connect();
    await Promise.all(Array.from({ length: 100 }, (_, i) => client.invoke(bytes(`${i}`))));
    await converged(group.replicas);
    expect(group.machines.map((machine) => machine.log.length)).toEqual([100, 100, 100]);
  });
});

describe("several in one process", () => {
  it("two groups and many clients share the sockets", async () => {
    const groups = [await startGroup(), await startGroup()];
    const clients = await Promise.all(groups.flatMap((group) => [group.connect(), group.connect(), group.connect()]));
    await Promise.all(clients.flatMap((client, c) => Array.from({ length: 50 }, (_, i) => client.invoke(bytes(`${c}/${i}`)))));
    for (const [index, group] of groups.entries()) {
      await converged(group.replicas);
      expect(group.machines[0]?.log).toHaveLength(150);
      expect(group.machines[0]?.log.every((line) => Math.floor(Number((line.split(" ")[1] as string).split("/")[0]) / 3) === index)).toBe(
        true,
      );
    }
    expect((await status({ cluster: (groups[0] as (typeof groups)[0]).cluster, digest: true })).map((report) => report?.status)).toEqual([
      "normal",
      "normal",
      "normal",
    ]);
  });
});

describe("limits", () => {
  it("tryInvoke says when the window is full, invoke waits, a full queue rejects", async () => {
    const group = await startGroup({ limits: { queue: 8 } });
    const client = await group.connect({ window: 4 });
    const outcomes: string[] = [];
    for (let i = 0; i < 6; i++) outcomes.push(client.tryInvoke(bytes(`${i}`)));
    expect(outcomes).toEqual(["accepted", "accepted", "accepted", "accepted", "window-full", "window-full"]);
    const waiting = Array.from({ length: 8 }, (_, i) => client.invoke(bytes(`w${i}`)));
    expect(client.metrics()).toMatchObject({ outstanding: 4, queued: 8 });
    expect(await rejection(client.invoke(bytes("too many")))).toMatchObject({ code: "QUEUE_FULL", outcome: "not-executed" });
    expect((await Promise.all(waiting)).map(String)).toEqual(Array.from({ length: 8 }, (_, i) => `w${i}`));
    expect(client.tryInvoke(Buffer.alloc(2 * 1024 * 1024))).toBe("too-large");
    expect(await rejection(client.invoke(Buffer.alloc(1024 * 1024 + 1)))).toMatchObject({
      code: "OPERATION_TOO_LARGE",
      outcome: "not-executed",
    });
    expect(await rejection(client.invoke("text" as never))).toMatchObject({ code: "INVALID_OPTION" });
    expect(await rejection(client.invoke(bytes("x"), { deadlinems: 5 } as never))).toMatchObject({ code: "UNKNOWN_OPTION" });
    client.close();
    expect(client.tryInvoke(bytes("x"))).toBe("closed");
  });

  it("deadline and signal give up, and say whether the operation was sent", async () => {
    const group = await startGroup();
    const client = await group.connect({ window: 2 });
    await Promise.all(group.replicas.map((replica) => replica.close()));
    const sent = [client.invoke(bytes("a"), { deadlineMs: 30 }), client.invoke(bytes("b"), { signal: AbortSignal.timeout(30) })];
    const abort = new AbortController();
    const queued = [client.invoke(bytes("c"), { deadlineMs: 30 }), client.invoke(bytes("d"), { signal: abort.signal })];
    abort.abort(new Error("enough"));
    const errors = await Promise.all([...sent, ...queued].map(rejection));
    expect(errors.map(({ code, outcome }) => `${code} ${outcome}`)).toEqual([
      "DEADLINE_EXCEEDED unknown",
      "ABORTED unknown",
      "DEADLINE_EXCEEDED not-executed",
      "ABORTED not-executed",
    ]);
    expect(await rejection(client.invoke(bytes("e"), { signal: AbortSignal.abort() }))).toMatchObject({
      code: "ABORTED",
      outcome: "not-executed",
    });
    const left = [client.invoke(bytes("f")), client.invoke(bytes("g"))];
    client.close();
    expect(await Promise.all(left.map(rejection))).toMatchObject([
      { code: "CLOSED", outcome: "not-executed" },
      { code: "CLOSED", outcome: "not-executed" },
    ]);
    expect(await rejection(client.invoke(bytes("h")))).toMatchObject({ code: "CLOSED", outcome: "not-executed" });
  });

  it("refuses what is no operation, callback or signal, and executes nothing of it", async () => {
    const group = await startGroup();
    const client = await group.connect();
    const refused = expect.objectContaining({ code: "INVALID_OPTION" });
    expect(() => client.tryInvoke("a" as never)).toThrow(refused);
    expect(() => client.tryInvoke(bytes("a"), 5 as never)).toThrow(refused);
    expect(() => client.invokeWith("a" as never, () => {})).toThrow(refused);
    expect(() => client.invokeWith(bytes("a"), undefined as never)).toThrow(refused);
    for (const wrong of [client.invoke("a" as never), client.read("a" as never), client.invoke(bytes("a"), { signal: 5 } as never)]) {
      expect(await rejection(wrong)).toMatchObject({ code: "INVALID_OPTION" });
    }
    await client.invoke(bytes("b"));
    expect(group.machines[0]?.log).toEqual([expect.stringMatching(/ b$/)]);
  });

  it("close rejects what is under way as unknown", async () => {
    const group = await startGroup();
    const client = await group.connect();
    const underWay = client.invoke(bytes("x"));
    client.close();
    expect(await rejection(underWay)).toMatchObject({ code: "CLOSED", outcome: "unknown" });
  });

  it("a full log refuses, typed, and executes nothing of it", async () => {
    const group = await startGroup({ limits: { logEntries: 1024, queue: 2048 } });
    const client = await group.connect();
    const outcomes = await Promise.allSettled(Array.from({ length: 1200 }, (_, i) => client.invoke(bytes(`${i}`), { deadlineMs: 5_000 })));
    const refused = outcomes.filter((outcome) => outcome.status === "rejected").map((outcome) => outcome.reason as SquallError);
    expect(refused.length).toBeGreaterThan(50);
    expect(refused.every((error) => error.code === "LOG_FULL" && error.outcome === "not-executed")).toBe(true);
    expect(client.tryInvoke(bytes("x"))).toBe("log-full");
    expect(group.machines[0]?.log.length).toBe(outcomes.length - refused.length);
  });
});

describe("connect", () => {
  const soon = { deadlineMs: 400 };

  it("says that nobody is there", async () => {
    expect(await rejection(connect({ cluster: await testCluster(), ...soon }))).toMatchObject({ code: "NOBODY_THERE" });
  });

  it("says that the cluster is not bootstrapped", async () => {
    const cluster = await testCluster();
    const { echoMachine } = await import("./machines/echo.js");
    const replicas = await Promise.all([0, 1, 2].map((id) => createReplica({ cluster, id, machine: echoMachine, thread: "main" })));
    onTestFinished(async () => void (await Promise.all(replicas.map((replica) => replica.close()))));
    expect(await rejection(connect({ cluster, ...soon }))).toMatchObject({ code: "NOT_BOOTSTRAPPED" });
  });

  it("says that the key is another one", async () => {
    const group = await startGroup();
    const wrongKey = { ...group.cluster, secret: Buffer.alloc(32, 1) };
    expect(await rejection(connect({ cluster: wrongKey, ...soon }))).toMatchObject({ code: "WRONG_KEY" });
  });

  it("says that the cluster is another one", async () => {
    const group = await startGroup();
    const wrongCluster = { ...group.cluster, group: Buffer.alloc(8, 7) };
    expect(await rejection(connect({ cluster: wrongCluster, ...soon }))).toMatchObject({ code: "WRONG_CLUSTER" });
  });

  it("refuses wrong options and an aborted signal", async () => {
    const cluster = await testCluster();
    expect(await rejection(connect({ cluster, orderd: true } as never))).toMatchObject({
      code: "UNKNOWN_OPTION",
      message: expect.stringContaining("ordered"),
    });
    expect(await rejection(connect({ cluster, window: 65 }))).toMatchObject({ code: "INVALID_OPTION" });
    expect(await rejection(connect({ cluster, signal: AbortSignal.timeout(50) }))).toMatchObject({ code: "ABORTED" });
    expect(await rejection(connect({ cluster, signal: AbortSignal.abort("enough") }))).toMatchObject({ code: "ABORTED", cause: "enough" });
    for (const wrong of [
      { signal: 5 },
      { bind: "127.0.0.1" },
      { bind: { ip: "127.0.0.1" } },
      { bind: { ip: "127.0.0.1", port: 70_000 } },
      { wait: "spinn" },
    ]) {
      expect(await rejection(connect({ cluster, ...wrong } as never)), JSON.stringify(wrong)).toMatchObject({ code: "INVALID_OPTION" });
    }
    const { secret: _, ...keyless } = { ...(await clusterContent()) } as Record<string, unknown>;
    expect(await rejection(connect({ cluster: keyless as never }))).toMatchObject({ code: "SECRET_MISSING" });
  });
});
