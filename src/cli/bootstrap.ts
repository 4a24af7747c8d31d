import { bootstrap } from "../index.js";
import { clusterOption, type Register, wholeNumber } from "./arguments.js";

export const registerBootstrap: Register = (program) => {
  program
    .command("bootstrap")
    .description("begin the cluster's life, once: all replicas must be running and blank")
    .addOption(clusterOption())
    .option("--deadline <ms>", "give up after so long", wholeNumber(1, 3_600_000), 5000)
    .action(async (options: { cluster: string; deadline: number }) => {
      const { lifeId } = await bootstrap({ cluster: options.cluster, deadlineMs: options.deadline });
      console.log(`bootstrapped: life ${lifeId}`);
    });
};
