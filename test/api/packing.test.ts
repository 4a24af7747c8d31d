/** Messages of one turn of the loop share datagrams, or each has its own. */
import { status } from "squall";
import { expect, it } from "vitest";
import { startGroup } from "./support.js";

const operations = 64;

/** Datagrams that the leader sent for operations that were issued all at once, each longer than the one before: those the kernel can't segment. */
async function leaderSends(packing: boolean | undefined): Promise<number> {
  const group = await startGroup({ protocol: "paxos", ...(packing !== undefined && { packing }) });
  const client = await group.connect();
  await client.invoke(Buffer.from("first"));
  const sent = async () => (await status({ cluster: group.cluster }))[0]!.network.datagramsSent!;
  const before = await sent();
  await Promise.all(Array.from({ length: operations }, (_, index) => client.invoke(Buffer.alloc(16 * (1 + index)))));
  return (await sent()) - before;
}

it("is on where the cluster file says nothing else", async () => {
  // One PREPARE for each operation and backup; packed, those of one turn are one datagram or few.
  expect(await leaderSends(undefined)).toBeLessThan(2 * operations);
});

it("can be switched off", async () => {
  expect(await leaderSends(false)).toBeGreaterThanOrEqual(2 * operations);
});
