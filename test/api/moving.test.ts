/** Replicas that move to other addresses: clients look names up again, a relay follows the members. */
import { randomBytes } from "node:crypto";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { bootstrap, type Client, connect, createRelay, createReplica, listMembers, loadCluster, type Replica, reconfigure } from "squall";
import { expect, it, onTestFinished } from "vitest";
import { leaseFabric } from "../../dist/data/fabrics.js";
import { loadBinding } from "../../dist/data/load.js";
import counter from "../../dist/machines/counter.js";
import { clusterContent, freePorts, rejection, until } from "./support.js";

const one = Buffer.from([1, 0, 0, 0]);
const add = async (client: Client) => (await client.invoke(one, { deadlineMs: 30_000 })).readDoubleLE();

it("a client finds replicas again that all came back at other addresses, by their names, in the same session", {
  timeout: 60_000,
}, async () => {
  const directory = mkdtempSync(path.join(tmpdir(), "squall-moving-"));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  const content = await clusterContent({ durability: "sync" });
  content.replicas = content.replicas.map(({ port }, id) => ({ host: `replica-${id}.example`, port }));
  const secret = randomBytes(32);
  let host = "127.0.0.1";
  let lookups = 0;
  const lookup = async (name: string) => {
    expect(name).toMatch(/^replica-\d\.example$/);
    lookups++;
    return [host];
  };
  let replicas: Replica[] = [];
  const start = async () => {
    const cluster = await loadCluster(content, { secret, lookup });
    replicas = await Promise.all(
      cluster.replicas.map((_, id) =>
        createReplica({ cluster, id, machine: counter, thread: "main", dataDirectory: path.join(directory, String(id)) }),
      ),
    );
    return cluster;
  };
  const stop = () => Promise.all(replicas.map((replica) => replica.close()));
  onTestFinished(async () => void (await stop()));
  const cluster = await start();
  await bootstrap({ cluster });
  const client = await connect({ cluster });
  onTestFinished(() => client.close());
  const { id } = client.session;
  expect(await add(client)).toBe(1);
  await stop();
  host = "127.0.0.2";
  const before = lookups;
  const next = add(client);
  await start();
  expect(await next).toBe(2);
  expect(lookups).toBeGreaterThan(before);
  for (let i = 3; i < 20; i++) expect(await add(client)).toBe(i);
  expect(client.session.id).toBe(id);
});

it("a relay with a key sends to the members that there are, one without to those of its file", { timeout: 60_000 }, async () => {
  const content = await clusterContent({ network: (port) => ({ design: "serialized", relay: { host: "127.0.0.1", port } }) });
  const secret = randomBytes(32);
  const cluster = await loadCluster(content, { secret });
  const relay = await createRelay({ cluster });
  onTestFinished(() => relay.close());
  expect(relay.follows).toBe(true);
  expect(relay.targets).toEqual(cluster.replicas);
  const replicas = await Promise.all([0, 1, 2].map((id) => createReplica({ cluster, id, machine: counter, thread: "main" })));
  await bootstrap({ cluster });
  const client = await connect({ cluster });
  onTestFinished(() => client.close());
  expect(await add(client)).toBe(1);

  const address = { ip: "127.0.0.1", port: (await freePorts(1))[0]! };
  replicas.push(await createReplica({ cluster, join: address, machine: counter, thread: "main" }));
  onTestFinished(async () => void (await Promise.all(replicas.map((replica) => replica.close()))));
  expect(replicas[3]?.id).toBe(0);
  for await (const _ of reconfigure({ cluster, change: { replace: [{ index: 1, address }] } }));
  expect(replicas[3]?.id).toBe(1);
  const { members } = await listMembers({ cluster });
  await until(() => JSON.stringify(relay.targets) === JSON.stringify(members.map((member) => member.address)), "the relay follows", 10_000);
  expect(relay.targets).toContainEqual(address);
  for (let i = 2; i < 20; i++) expect(await add(client)).toBe(i);
  relay.close();

  const blind = await createRelay({ cluster: content });
  onTestFinished(() => blind.close());
  expect(blind.follows).toBe(false);
  expect(blind.targets).toEqual(cluster.replicas);
});

it("reconfigure refuses what is no change before it asks anybody", async () => {
  const cluster = await loadCluster(await clusterContent(), { secret: randomBytes(32) });
  const refusal = (change: unknown) => rejection(reconfigure({ cluster, change } as never).next());
  for (const change of [
    { add: 5 },
    { add: ["127.0.0.1:7100"] },
    { add: [{ ip: "127.0.0.1", port: 0 }] },
    { replace: [{ index: 1 }] },
    { replace: [null] },
  ]) {
    expect(await refusal(change), JSON.stringify(change)).toMatchObject({ code: "INVALID_OPTION" });
  }
  expect(await refusal({ replace: [{ index: 1, adress: {} }] })).toMatchObject({
    code: "UNKNOWN_OPTION",
    message: expect.stringContaining('"address"'),
  });
});

it("what comes to a relay goes to its present targets", async () => {
  const [at] = await freePorts(1);
  const sockets = await Promise.all(
    [0, 1].map(async () => {
      const socket = createSocket("udp4").bind(0, "127.0.0.1");
      await once(socket, "listening");
      onTestFinished(() => void socket.close());
      return socket;
    }),
  );
  const targets = sockets.map((socket) => ({ ip: "127.0.0.1", port: socket.address().port }));
  const lease = leaseFabric(loadBinding());
  onTestFinished(() => lease.release());
  const relay = new (loadBinding().Relay)({
    fabric: lease.fabric,
    bind: { ip: "127.0.0.1", port: at! },
    targets: [targets[0]!],
    datagramBytes: 1400,
    packing: true,
  });
  onTestFinished(() => relay.close());
  for (const [index, socket] of sockets.entries()) {
    relay.setTargets({ targets: [targets[index]!] });
    const arrived = once(socket, "message");
    // As long as an empty frame at least.
    const message = Buffer.alloc(100, index + 1);
    sockets[0]!.send(message, at!, "127.0.0.1");
    expect((await arrived)[0]).toEqual(message);
  }
});
