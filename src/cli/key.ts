import { issueClientKey, loadCluster, writeClientKey } from "../config.js";
import { clusterOption, type Register } from "./arguments.js";

export const registerKey: Register = (program) => {
  program
    .command("key")
    .description("clients' keys")
    .command("issue")
    .description("derive a key for one client, which then needs no secret")
    .addOption(clusterOption())
    .option("--id <hex>", "the client's id, 16 hex digits (default: random)")
    .option("-o, --out <file>", "write it to a new file that only its owner can read (default: print it)")
    .action(async (options: { cluster: string; id?: string; out?: string }) => {
      const cluster = await loadCluster(options.cluster, { role: "operator" });
      const key = issueClientKey(cluster, options.id);
      if (options.out === undefined) {
        console.log(JSON.stringify(key));
      } else {
        await writeClientKey(options.out, key);
        console.log(`${options.out}: key of client ${key.id}`);
      }
    });
};
