import { Option } from "commander";
import { protocolNames } from "../config/protocols.js";
import { type InitOptions, writeCluster } from "../config.js";
import { type Register, wholeNumber } from "./arguments.js";

interface Options {
  replicas?: number;
  host?: string;
  port: number;
  design: NonNullable<InitOptions["design"]>;
  protocol?: NonNullable<InitOptions["protocol"]>;
  mode?: NonNullable<InitOptions["mode"]>;
  durability?: NonNullable<InitOptions["durability"]>;
  directory: string;
  unsealedForBenchmarks?: boolean;
}

export const registerInit: Register = (program) => {
  program
    .command("init")
    .description("write a cluster file and a secret")
    .option("-n, --replicas <number>", "1, 3, 5, 7 or 9 replicas", wholeNumber(1, 9))
    .option("--host <host>", "host of all replicas, or one for each, separated by commas (default: 127.0.0.1)")
    .option("--port <port>", "UDP port of replica 0", wholeNumber(1, 65525), 7100)
    .addOption(
      new Option("--design <design>", "how requests reach the replicas").choices(["unicast", "multicast", "serialized"]).default("unicast"),
    )
    .addOption(new Option("--protocol <name>", "which protocol orders operations (default: speculative)").choices(protocolNames))
    .addOption(
      new Option("--mode <mode>", "of the protocol speculative (default: adaptive)").choices(["adaptive", "speculative", "leader"]),
    )
    .addOption(
      new Option("--durability <level>", "what outlasts a replica's process (default: memory)").choices(["memory", "async", "sync"]),
    )
    .option("-d, --directory <directory>", "where to write cluster.json and cluster.secret", ".")
    .option("--unsealed-for-benchmarks", "frames without authentication and encryption")
    .action(async (options: Options) => {
      const host = options.host?.includes(",") ? options.host.split(",").map((name) => name.trim()) : options.host;
      const { file, secretFile, content } = await writeCluster(options.directory, {
        design: options.design,
        port: options.port,
        ...(options.replicas === undefined ? {} : { replicas: options.replicas }),
        ...(host === undefined ? {} : { host }),
        ...(options.protocol === undefined ? {} : { protocol: options.protocol }),
        ...(options.mode === undefined ? {} : { mode: options.mode }),
        ...(options.durability === undefined ? {} : { durability: options.durability }),
        ...(options.unsealedForBenchmarks ? { security: "unsealed-for-benchmarks" as const } : {}),
      });
      console.log(`${file}: cluster ${content.cluster}, ${content.replicas.length} replicas, ${options.design}`);
      console.log(`${secretFile}: give it to replicas and operators, to nobody else`);
      const relay = options.design === "serialized" ? "start the relay (squall relay), " : "";
      const data = (options.durability ?? "memory") === "memory" ? "" : " --data directory";
      console.log(`Next: ${relay}start each replica (squall replica --id N --machine module${data}), then run squall bootstrap once.`);
    });
};
