import { createRelay } from "../relay.js";
import { clusterOption, type Register } from "./arguments.js";
import { untilStopped } from "./output.js";

export const registerRelay: Register = (program) => {
  program
    .command("relay")
    .description("run the relay of the serialized design until SIGINT or SIGTERM")
    .addOption(clusterOption())
    .option("--client-key <path>", "a client's key: with it, or the secret, the relay follows when the members change")
    .action(async (options: { cluster: string; clientKey?: string }) => {
      const relay = await createRelay(options);
      // Before anybody is told: who is told may stop this process at once.
      const stopped = untilStopped();
      console.log(`relay on ${relay.address.ip}:${relay.address.port}, process ${process.pid}`);
      process.send?.({ type: "up" });
      await stopped;
      relay.close();
    });
};
