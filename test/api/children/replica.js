// Argument: JSON { cluster file object, secret hex, id, machine URL, mode }. A replica in a process of its own.
import { createReplica, loadCluster } from "squall";

const { content, secret, id, machine } = JSON.parse(process.argv[2]);
const cluster = await loadCluster(content, { secret: Buffer.from(secret, "hex") });
const replica = await createReplica({ cluster, id, machine });
process.send("up");
process.on("message", async (message) => {
  if (message === "digest") process.send({ digest: await replica.digest(), progress: replica.progress() });
});
process.on("disconnect", () => process.exit());
