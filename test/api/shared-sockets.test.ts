/** Sessions of one thread share sockets, and each gets what is for it. */
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { type Client, createRelay } from "squall";
import { expect, it, onTestFinished } from "vitest";
import { startGroup } from "./support.js";

/** UDP sockets of this process, by inode. */
function udpSockets(): Set<string> {
  const known = new Set(
    readFileSync("/proc/self/net/udp", "utf8")
      .split("\n")
      .slice(1)
      .map((line) => line.trim().split(/\s+/)[9]),
  );
  const own = new Set<string>();
  for (const fd of readdirSync("/proc/self/fd")) {
    let inode: string | undefined;
    try {
      inode = /^socket:\[(\d+)\]$/.exec(readlinkSync(`/proc/self/fd/${fd}`))?.[1];
    } catch {
      // closed meanwhile
    }
    if (inode !== undefined && known.has(inode)) own.add(inode);
  }
  return own;
}

const dropped = (client: Client) => Object.values(client.metrics().dropped).reduce((sum, count) => sum + count, 0);

/** Each client sends what no other does, of many lengths, several at once, again and again. */
async function exchange(clients: readonly Client[], rounds: number): Promise<void> {
  await Promise.all(
    clients.map(async (client, index) => {
      for (let round = 0; round < rounds; round++) {
        const operations = [0, 1, 2].map((k) =>
          Buffer.from(`client ${index}, round ${round}, ${"x".repeat((index * 7 + k * 50 + round) % 300)}`),
        );
        expect(await Promise.all(operations.map((operation) => client.invoke(operation)))).toEqual(operations);
      }
    }),
  );
}

it("sessions share sockets up to 1,024 outstanding operations", async () => {
  const group = await startGroup();
  const before = udpSockets().size;
  const clients = await Promise.all(Array.from({ length: 17 }, () => group.connect({ window: 64 })));
  expect(udpSockets().size - before).toBe(2);
  await exchange(clients, 20);
  for (const client of clients) expect(dropped(client)).toBe(0);
  for (const client of clients.slice(1)) client.close();
  await exchange(clients.slice(0, 1), 5);
  expect(udpSockets().size - before).toBe(1);
  for (const client of clients) client.close();
  expect(udpSockets().size - before).toBe(0);
});

it("a session with a window of 1,024, and one with an address of its own, have their own sockets", async () => {
  const group = await startGroup({ limits: { window: 1024 } });
  const before = udpSockets().size;
  await group.connect();
  await group.connect();
  await group.connect({ window: 1, bind: { ip: "127.0.0.1", port: 0 } });
  await group.connect({ window: 1 });
  await group.connect({ window: 1 });
  expect(udpSockets().size - before).toBe(4);
});

it("what comes for a session that was closed disturbs nobody", async () => {
  const group = await startGroup();
  const clients = await Promise.all(Array.from({ length: 8 }, () => group.connect({ window: 8 })));
  const gone = clients[3]!;
  const lost = gone.invoke(Buffer.from("nobody waits for this")).catch((error: { code: string }) => error.code);
  gone.close();
  expect(await lost).toBe("CLOSED");
  const others = clients.filter((client) => client !== gone);
  await exchange(others, 10);
  for (const client of others) expect(dropped(client)).toBe(0);
});

it("clients of two clusters share a socket, and hear of their own alone", async () => {
  const [one, other] = [await startGroup(), await startGroup()];
  const before = udpSockets().size;
  const clients = [await one.connect({ window: 8 }), await other.connect({ window: 8 }), await one.connect({ window: 8 })];
  expect(udpSockets().size - before).toBe(1);
  await exchange(clients, 20);
  for (const client of clients) expect(dropped(client)).toBe(0);
});

it("a relay with a multicast group sends each request once, and it reaches all replicas", async () => {
  const multicast = { group: "239.77.3.9", port: 0 };
  const group = await startGroup({
    network: (port) => ({ design: "serialized", relay: { host: "127.0.0.1", port }, multicast: { ...multicast, port: port + 1 } }),
  });
  const relay = await createRelay({ cluster: group.cluster });
  onTestFinished(() => relay.close());
  expect(relay.targets).toEqual([{ ip: multicast.group, port: relay.address.port + 1 }]);
  const client = await group.connect();
  await exchange([client], 20);
  // On a busy machine some are sent again; were it all of them, the group would not be heard.
  expect(client.metrics().retransmissions).toBeLessThan(30);
  const { datagramsReceived, datagramsSent } = relay.counters();
  expect(datagramsReceived).toBeGreaterThan(0);
  expect(datagramsSent).toBeLessThanOrEqual(datagramsReceived!);
});
