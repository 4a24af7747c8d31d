import { fileURLToPath } from "node:url";
import { bootstrap, type Cluster, loadCluster } from "squall";
import { type ClusterFileOptions, writeClusterFile } from "./cluster-file.js";
import { Load } from "./load/load.js";
import { ReplicaProcesses } from "./replica-processes.js";
import { temporaryFolder } from "./temporary-folder.js";

export interface LoadedCluster {
  cluster: Cluster;
  replicas: ReplicaProcesses;
  load: Load;
}

/** Three `squall replica` processes with the counter, or another machine that holds it, bootstrapped, and a connected load process. */
export async function startLoadedCluster(
  options: Omit<ClusterFileOptions, "folder" | "name"> & { data?: string },
  machine = new URL("./machines/counter.js", import.meta.url),
): Promise<LoadedCluster> {
  const file = await writeClusterFile({ folder: temporaryFolder(), name: "cluster", ...options });
  const cluster = await loadCluster(file, { role: "operator" });
  const count = cluster.replicas.length;
  const data = options.data === undefined ? {} : { data: options.data };
  const replicas = await ReplicaProcesses.start({ cluster: file, count, machine: fileURLToPath(machine), ...data });
  await bootstrap({ cluster });
  return { cluster, replicas, load: await Load.start(file) };
}

export async function stopLoadedCluster({ replicas, load }: LoadedCluster): Promise<void> {
  load.kill();
  await replicas.killAll();
}

export function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, Math.max(0, ms)));
}
