/** A replica that lost its memory, over real sockets: it leaves the multicast group while it fetches, and is in it again afterwards. */
import { createReplica, type Replica } from "squall";
import { expect, it, onTestFinished } from "vitest";
import { echoMachine } from "./machines/echo.js";
import { converged, startGroup, until } from "./support.js";

const far = 10_000; // entries: more than are left for the reconciliation that ends a recovery

it("comes back to a multicast group, hears requests again, and counts what it received without a step back", async () => {
  const group = await startGroup({
    mode: "speculative",
    network: (port) => ({ design: "multicast", multicast: { group: "239.255.77.2", port } }),
  });
  const client = await group.connect({ window: 64 });
  const call = (count: number) => Promise.all(Array.from({ length: count }, () => client.invoke(Buffer.alloc(8))));
  for (let i = 0; i < far; i += 200) await call(200);
  await converged(group.replicas);

  await group.replicas[2]?.close();
  const codes: string[] = [];
  const replica: Replica = await createReplica({ cluster: group.cluster, id: 2, machine: echoMachine(), thread: "main" });
  onTestFinished(() => replica.close());
  replica.on("event", (event) => event.type === "recovery-progress" && codes.push(event.code));
  let received = 0;
  await until(
    async () => {
      const { status, network } = await replica.status();
      const now = network.datagramsReceived as number;
      expect(now).toBeGreaterThanOrEqual(received);
      received = now;
      return status === "normal";
    },
    "the replica is NORMAL again",
    20_000,
  );
  expect(codes).toContain("waiting-for-reconciliation");

  // Only all three together answer; one that does not hear the group has each request from the client by itself, the second time.
  const { view } = replica.progress();
  const { retransmissions } = client.metrics();
  await call(200);
  expect(client.metrics().retransmissions - retransmissions).toBeLessThan(100);
  await converged([group.replicas[0] as Replica, group.replicas[1] as Replica, replica]);
  expect(replica.progress().view).toBe(view);
  expect(new Set(await Promise.all([group.replicas[0]?.digest(), group.replicas[1]?.digest(), replica.digest()])).size).toBe(1);
});
