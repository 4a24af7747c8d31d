import { Gauge, Registry } from "prom-client";
import { bootstrap, connect, createMetricsServer, createReplica, prometheusRegistry, type Replica } from "squall";
import { describe, expect, it, onTestFinished } from "vitest";
import { converged, freePorts, rejection, startGroup, testCluster, until } from "./support.js";

const bytes = (text: string) => Buffer.from(text);

/** Value of the sample `name{...labels}` in the text format; undefined where there is none. */
function sample(text: string, name: string, labels: Record<string, string>): number | undefined {
  for (const line of text.split("\n")) {
    const found = /^([a-z_]+)\{(.*)\} (\S+)$/.exec(line);
    if (found?.[1] === name && Object.entries(labels).every(([key, value]) => found[2]?.split(",").includes(`${key}="${value}"`))) {
      return Number(found[3]);
    }
  }
  return undefined;
}

describe("prometheusRegistry", () => {
  it("shows what replicas and clients count, again and again", async () => {
    const group = await startGroup();
    const client = await group.connect();
    const registry = await prometheusRegistry({ replicas: group.replicas, clients: [client] });
    const cluster = Buffer.from(group.cluster.group).toString("hex");
    const of = (replica: number) => ({ cluster, replica: String(replica) });
    for (const operations of [10, 30]) {
      const before = Number(sample(await registry.metrics(), "squall_client_operations_completed_total", { cluster }) ?? 0);
      await Promise.all(Array.from({ length: operations }, (_, i) => client.invoke(bytes(`operation ${i}`))));
      await converged(group.replicas);
      const text = await registry.metrics();
      expect(sample(text, "squall_client_operations_completed_total", { cluster, session: client.session.id })).toBe(before + operations);
      for (const replica of group.replicas) {
        const { committed, counters } = replica.progress();
        expect(sample(text, "squall_log_committed_seqno", of(replica.id))).toBe(committed);
        expect(sample(text, "squall_requests_appended_total", of(replica.id))).toBe(counters.appended);
        expect(sample(text, "squall_replica_status", { ...of(replica.id), status: "normal" })).toBe(1);
        expect(sample(text, "squall_replica_status", { ...of(replica.id), status: "recovery" })).toBe(0);
      }
    }
    // Those that are gone leave nothing behind.
    client.close();
    expect(await registry.metrics()).not.toContain("session=");
  });

  it("has a unit or _total in names, and a help text for each", async () => {
    const metrics = await (await prometheusRegistry({ replicas: [], clients: [] })).getMetricsAsJSON();
    expect(metrics.length).toBeGreaterThan(40);
    for (const { name, help, type } of metrics) {
      expect(name).toMatch(/^squall_[a-z_]+$/);
      expect(help).not.toBe("");
      expect(name.endsWith("_total"), name).toBe(String(type) === "counter");
    }
  });

  it("counts drops by reason", async () => {
    const group = await startGroup();
    const { createSocket } = await import("node:dgram");
    const socket = createSocket("udp4");
    onTestFinished(() => void socket.close());
    const forged = Buffer.alloc(100);
    // Version 1, a REQUEST of this group that is shorter than it says.
    forged.writeUInt8(1, 0);
    forged.writeUInt8(2, 1);
    forged.writeUInt16LE(200, 2);
    Buffer.from(group.cluster.group).copy(forged, 8);
    socket.send(forged, group.cluster.replicas[0]?.port as number, "127.0.0.1");
    const registry = await prometheusRegistry({ replicas: group.replicas });
    await until(
      async () => sample(await registry.metrics(), "squall_dropped_total", { replica: "0", reason: "truncated" }) === 1,
      "the drop is shown",
    );
  });

  it("works while a replica's machine is busy for good", async () => {
    const cluster = await testCluster({ ports: await freePorts(1) });
    const module = `data:text/javascript,${encodeURIComponent("export default { speculativelyExecute() { for (;;); }, rollback() {} }")}`;
    const replica = await createReplica({ cluster, id: 0, machine: module });
    onTestFinished(() => replica.close());
    await bootstrap({ cluster });
    const client = await connect({ cluster });
    onTestFinished(() => client.close());
    await rejection(client.invoke(bytes("x"), { deadlineMs: 200 }));
    const registry = await prometheusRegistry({ replicas: [replica] });
    expect(sample(await registry.metrics(), "squall_replica_status", { replica: "0", status: "normal" })).toBe(1);
  });

  it("registers beside a program's own metrics, and refuses what is no replica or client", async () => {
    const registry = new Registry();
    new Gauge({ name: "mine", help: "mine", registers: [registry] }).set(3);
    const replicas = new Set<Replica>();
    expect(await prometheusRegistry({ replicas, registry })).toBe(registry);
    expect(await registry.metrics()).toMatch(/^mine 3$/m);
    expect(await rejection(prometheusRegistry({ replicas: [{}] as never }))).toMatchObject({ code: "INVALID_OPTION" });
    expect(await rejection(prometheusRegistry({ clients: 3 as never }))).toMatchObject({ code: "INVALID_OPTION" });
    expect(await rejection(prometheusRegistry({ replica: [] } as never))).toMatchObject({
      code: "UNKNOWN_OPTION",
      message: expect.stringContaining('"replicas"'),
    });
  });
});

describe("createMetricsServer", () => {
  it("answers GET and HEAD on /metrics only, on one port only", async () => {
    const registry = await prometheusRegistry({ replicas: [] });
    const server = await createMetricsServer({ registry, port: 0 });
    onTestFinished(() => server.close());
    const { host, port } = server.address;
    expect(host).toBe("127.0.0.1");
    const ask = (path: string, method = "GET") => fetch(`http://${host}:${port}${path}`, { method });
    const answer = await ask("/metrics?x=1");
    expect(answer.status).toBe(200);
    expect(answer.headers.get("content-type")).toBe(registry.contentType);
    expect(await answer.text()).toContain("# TYPE squall_view gauge");
    expect((await ask("/metrics", "HEAD")).status).toBe(200);
    expect((await ask("/metrics", "POST")).status).toBe(405);
    expect((await ask("/")).status).toBe(404);
    expect(await rejection(createMetricsServer({ registry, port }))).toMatchObject({ code: "ADDRESS_IN_USE" });
    expect(await rejection(createMetricsServer({ registry, port: 70_000 }))).toMatchObject({ code: "INVALID_OPTION" });
    expect(await rejection(createMetricsServer({ registry: {} as never, port: 0 }))).toMatchObject({ code: "INVALID_OPTION" });
    expect(await rejection(createMetricsServer({ registry, port: 0, host: "192.0.2.1" }))).toMatchObject({ code: "ADDRESS_INVALID" });
  });

  it("says what went wrong while metrics were read", async () => {
    const registry = new Registry();
    new Gauge({
      name: "broken",
      help: "broken",
      registers: [registry],
      collect() {
        throw new Error("not today");
      },
    });
    const server = await createMetricsServer({ registry, port: 0 });
    onTestFinished(() => server.close());
    const answer = await fetch(`http://127.0.0.1:${server.address.port}/metrics`);
    expect(answer.status).toBe(500);
    expect(await answer.text()).toBe("not today\n");
  });
});
