import path from "node:path";
import { pathToFileURL } from "node:url";
import { Option } from "commander";
import { createReplica } from "../index.js";
import { clusterOption, type Register, wholeNumber } from "./arguments.js";
import { untilStopped } from "./output.js";

interface Options {
  cluster: string;
  id: number;
  machine: string;
  thread: "main" | "worker";
  debugOperations: boolean;
}

export const registerReplica: Register = (program) => {
  program
    .command("replica")
    .description("run one replica until SIGINT or SIGTERM")
    .addOption(clusterOption())
    .requiredOption("--id <number>", "which replica of the cluster file", wholeNumber(0, 8))
    .requiredOption("--machine <module>", "JavaScript module whose default export is the machine")
    .addOption(new Option("--thread <thread>", "where machine and protocol run").choices(["main", "worker"]).default("worker"))
    .option("--debug-operations", "overwrite each operation after its upcall, so that a machine that keeps it is noticed", false)
    .action(async (options: Options) => {
      const module = pathToFileURL(path.resolve(options.machine));
      const replica = await createReplica({
        cluster: options.cluster,
        id: options.id,
        debug: options.debugOperations,
        ...(options.thread === "worker" ? { machine: module } : { thread: "main", machine: (await import(module.href)).default }),
      });
      console.log(`replica ${options.id} is up; ${options.thread} thread, process ${process.pid}`);
      process.send?.({ type: "up" });
      await untilStopped();
      await replica.close();
    });
};
