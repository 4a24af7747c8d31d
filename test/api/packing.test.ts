/** Messages of one turn of the loop share datagrams, or each has its own. */
import { status } from "squall";
import { expect, it } from "vitest";
import { startGroup } from "./support.js";

const operations = 64;

/** Datagrams of the leader for operations that were issued all at once, each longer than the one before: those the kernel can't segment. */
async function atLeader(protocol: "paxos" | "fast-paxos", packing?: boolean): Promise<{ sent: number; received: number }> {
  const group = await startGroup({ protocol, ...(packing !== undefined && { packing }) });
  const client = await group.connect();
  await client.invoke(Buffer.from("first"));
  const network = async () => (await status({ cluster: group.cluster }))[0]!.network;
  const before = await network();
  await Promise.all(Array.from({ length: operations }, (_, index) => client.invoke(Buffer.alloc(16 * (1 + index)))));
  const after = await network();
  return {
    sent: after.datagramsSent! - before.datagramsSent!,
    received: after.datagramsReceived! - before.datagramsReceived!,
  };
}

it("is on where the cluster file says nothing else", async () => {
  const { sent, received } = await atLeader("paxos");
  expect(sent).toBeLessThan(2 * operations);
  expect(received).toBeLessThan(2 * operations);
});

it("without it each operation has its PREPAREs and each PREPARE its answer", async () => {
  const { sent, received } = await atLeader("paxos", false);
  expect(sent).toBeGreaterThanOrEqual(2 * operations);
  expect(received).toBeGreaterThanOrEqual(2 * operations);
});

it("without it each operation has its FAST-VOTEs", async () => {
  const { received } = await atLeader("fast-paxos", false);
  expect(received).toBeGreaterThanOrEqual(2 * operations);
});
