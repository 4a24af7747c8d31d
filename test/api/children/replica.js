// Argument: JSON { cluster file object, secret hex, id, machine URL, data directory, repair }. A replica in a process of its own.
import { createReplica, loadCluster } from "squall";

const { content, secret, id, machine, dataDirectory, repair } = JSON.parse(process.argv[2]);
const cluster = await loadCluster(content, { secret: Buffer.from(secret, "hex") });
let replica;
const events = [];
try {
  replica = await createReplica({ cluster, id, machine, ...(dataDirectory && { dataDirectory }), ...(repair && { repair }) });
} catch (error) {
  process.send({ refused: error.code }, () => process.exit(1));
  await new Promise(() => {});
}
replica.on("event", (event) => events.push(event.type));
process.send("up");
process.on("message", async (message) => {
  if (message === "digest") process.send({ digest: await replica.digest(), progress: replica.progress(), events });
  if (message === "close") replica.close().then(() => process.exit(0));
});
process.on("disconnect", () => process.exit());
