import path from "node:path";
import { pathToFileURL } from "node:url";
import { Option } from "commander";
import { loadMachine } from "../data/load-machine.js";
import { createMetricsServer, createReplica, type MetricsServer, prometheusRegistry, type Replica } from "../index.js";
import { type WaitStrategy, waitStrategies } from "../wait.js";
import { clusterOption, hostPort, type Register, wholeNumber } from "./arguments.js";
import { untilStopped } from "./output.js";

interface Options {
  cluster: string;
  id?: number;
  join?: { ip: string; port: number };
  machine: string;
  thread: "main" | "worker";
  wait: WaitStrategy;
  data?: string;
  repair: boolean;
  debugOperations: boolean;
  metricsPort?: number;
  metricsHost: string;
}

export const registerReplica: Register = (program) => {
  program
    .command("replica")
    .description("run one replica until SIGINT or SIGTERM")
    .addOption(clusterOption())
    .option("--id <number>", "which replica of the cluster file", wholeNumber(0, 8))
    .option("--join <address>", "instead: a blank replica at host:port, for `squall members` to make it a member", hostPort)
    .requiredOption("--machine <module>", "JavaScript module whose default export is the machine")
    .addOption(new Option("--thread <thread>", "where machine and protocol run").choices(["main", "worker"]).default("worker"))
    .addOption(new Option("--wait <how>", "how the loop waits for datagrams").choices(waitStrategies).default("block"))
    .option("--data <directory>", "where state, log and snapshots go: needed by durability async and sync")
    .option("--repair", "empty a damaged data directory and recover from the other replicas", false)
    .option("--debug-operations", "overwrite each operation after its upcall, so that a machine that keeps it is noticed", false)
    .option("--metrics-port <port>", "serve GET /metrics for Prometheus on this TCP port", wholeNumber(0, 65_535))
    .option("--metrics-host <host>", "where to serve it; it answers whoever can reach it", "127.0.0.1")
    .action(async (options: Options) => {
      const module = pathToFileURL(path.resolve(options.machine));
      const replica = await createReplica({
        cluster: options.cluster,
        ...(options.id === undefined ? {} : { id: options.id }),
        ...(options.join === undefined ? {} : { join: options.join }),
        debug: options.debugOperations,
        wait: options.wait,
        ...(options.data === undefined ? {} : { dataDirectory: options.data }),
        ...(options.repair ? { repair: true } : {}),
        ...(options.thread === "worker" ? { machine: module } : { thread: "main", machine: await loadMachine(module.href) }),
      });
      const metrics = await serveMetrics(replica, options);
      // Before anybody is told: who is told may stop this process at once.
      const ended = new Promise<void>((resolve) =>
        replica.on("event", (event) => {
          if (event.type === "invariant-broken") {
            console.error(`replica ${event.replica} stopped: ${event.message}`);
            process.exitCode = 1;
          }
          if (event.type === "retired") console.log(`replica ${event.replica} is no member any more, and ends`);
          if (event.type === "retired" || event.type === "invariant-broken") resolve();
        }),
      );
      const stopped = untilStopped(ended);
      const name = options.join === undefined ? String(options.id) : `to join at ${options.join.ip} port ${options.join.port}`;
      console.log(`replica ${name} is up; ${options.thread} thread, process ${process.pid}`);
      if (metrics !== undefined) console.log(`metrics on ${metrics.address.host} port ${metrics.address.port}`);
      process.send?.({ type: "up" });
      await stopped;
      await metrics?.close();
      await replica.close();
    });
};

async function serveMetrics(replica: Replica, { metricsPort, metricsHost }: Options): Promise<MetricsServer | undefined> {
  if (metricsPort === undefined) return undefined;
  try {
    const registry = await prometheusRegistry({ replicas: [replica] });
    return await createMetricsServer({ registry, port: metricsPort, host: metricsHost });
  } catch (error) {
    // A replica whose operators can't see it is not started by mistake.
    await replica.close();
    throw error;
  }
}
