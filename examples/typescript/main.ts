// Three replicas, each in a Worker, and a client in one process.
//   npx tsc && node out/main.js
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { bootstrap, type Client, connect, createReplica, SquallError, writeCluster } from "squall";
import type { Receipt, Transfer } from "./ledger.js";

async function transfer(client: Client, request: Transfer): Promise<Receipt> {
  const result = await client.invoke(Buffer.from(JSON.stringify(request)), { deadlineMs: 5000 });
  return JSON.parse(result.toString()) as Receipt;
}

const directory = await mkdtemp(path.join(tmpdir(), "squall-example-"));
const { file: cluster } = await writeCluster(directory, { port: 7440 });
const machine = new URL("./ledger.js", import.meta.url);
const replicas = await Promise.all([0, 1, 2].map((id) => createReplica({ cluster, id, machine })));
await bootstrap({ cluster });
const client = await connect({ cluster });

const receipts = [
  await transfer(client, { account: "ann", amount: 100 }),
  await transfer(client, { account: "ann", amount: -70 }),
  await transfer(client, { account: "ann", amount: -70 }),
];
for (const { accepted, balance } of receipts) console.log(accepted ? "accepted" : "refused", balance);

try {
  await client.invoke(new Uint8Array(2 << 20));
} catch (error) {
  if (!(error instanceof SquallError)) throw error;
  console.log(error.code, error.outcome);
}

client.close();
await Promise.all(replicas.map((replica) => replica.close()));
await rm(directory, { recursive: true });
if (receipts.map(({ balance }) => balance).join() !== "100,30,30") throw new Error("the balances are wrong");
