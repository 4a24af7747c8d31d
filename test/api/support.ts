/** Clusters of real replicas on loopback for the tests of the API. */
import { randomBytes } from "node:crypto";
import { createSocket } from "node:dgram";
import {
  bootstrap,
  type Client,
  type Cluster,
  type ClusterLimits,
  type ClusterTiming,
  connect,
  createReplica,
  loadCluster,
  type Replica,
} from "squall";
import { onTestFinished } from "vitest";
import type { ClusterFile } from "../../src/config.js";
import { echoMachine } from "./machines/echo.js";

export const counterModule = new URL("../../dist/machines/counter.js", import.meta.url);
export const echoModule = new URL("./machines/echo.js", import.meta.url);

export async function freePorts(count: number): Promise<number[]> {
  const sockets = await Promise.all(
    Array.from(
      { length: count },
      () =>
        new Promise<ReturnType<typeof createSocket>>((resolve) => {
          const socket = createSocket("udp4");
          socket.bind(0, "127.0.0.1", () => resolve(socket));
        }),
    ),
  );
  const ports = sockets.map((socket) => socket.address().port);
  await Promise.all(sockets.map((socket) => new Promise<void>((resolve) => socket.close(() => resolve()))));
  return ports;
}

export interface TestClusterOptions {
  replicas?: number;
  limits?: Partial<ClusterLimits>;
  timing?: Partial<ClusterTiming>;
  ports?: number[];
  secret?: Uint8Array;
  cluster?: string;
  host?: string;
  mode?: ClusterFile["mode"];
  protocol?: ClusterFile["protocol"];
  durability?: ClusterFile["durability"];
  packing?: boolean;
  /** Given the first port that no replica has. */
  network?: (port: number) => ClusterFile["network"];
}

/** The content of a cluster file on free ports, and the secret. */
export async function clusterContent(options: TestClusterOptions = {}) {
  const ports = options.ports ?? (await freePorts(options.replicas ?? 3));
  const network = options.network?.(Math.max(...ports) + 1);
  return {
    cluster: options.cluster ?? randomBytes(8).toString("hex"),
    replicas: ports.map((port) => ({ host: options.host ?? "127.0.0.1", port })),
    limits: { logEntries: 65_536, logBytes: 256 * 1024 * 1024, ...options.limits },
    ...(network === undefined ? {} : { network }),
    ...(options.timing === undefined ? {} : { timing: options.timing }),
    ...(options.durability === undefined ? {} : { durability: options.durability }),
    ...(options.packing === undefined ? {} : { packing: options.packing }),
    ...(options.mode === undefined ? {} : { mode: options.mode }),
    ...(options.protocol === undefined ? {} : { protocol: options.protocol }),
  };
}

export async function testCluster(options: TestClusterOptions = {}): Promise<Cluster> {
  return loadCluster(await clusterContent(options), { secret: options.secret ?? randomBytes(32) });
}

export interface Group {
  cluster: Cluster;
  replicas: Replica[];
  machines: ReturnType<typeof echoMachine>[];
  connect(options?: Omit<Parameters<typeof connect>[0], "cluster">): Promise<Client>;
}

/** Replicas in this thread with echo machines, bootstrapped; all of it is closed after the test. */
export async function startGroup(options: TestClusterOptions & { debug?: boolean; copy?: boolean } = {}): Promise<Group> {
  const cluster = await testCluster(options);
  const machines = cluster.replicas.map(() => echoMachine());
  if (options.copy === true) for (const machine of machines) Object.assign(machine, { copy: true });
  const replicas = await Promise.all(
    machines.map((machine, id) =>
      createReplica({ cluster, id, machine, thread: "main", ...(options.debug === undefined ? {} : { debug: options.debug }) }),
    ),
  );
  onTestFinished(async () => void (await Promise.all(replicas.map((replica) => replica.close()))));
  await bootstrap({ cluster });
  return {
    cluster,
    replicas,
    machines,
    async connect(more = {}) {
      const client = await connect({ cluster, ...more });
      onTestFinished(() => client.close());
      return client;
    },
  };
}

export async function until(condition: () => boolean | Promise<boolean>, what: string, timeoutMs = 5_000): Promise<void> {
  const end = performance.now() + timeoutMs;
  while (!(await condition())) {
    if (performance.now() > end) throw new Error(`not within ${timeoutMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** The error a promise is rejected with. */
export async function rejection(promise: Promise<unknown>): Promise<{ code?: string; outcome?: string; message: string }> {
  try {
    await promise;
  } catch (error) {
    return error as { code?: string; outcome?: string; message: string };
  }
  throw new Error("expected a rejection");
}

/** All replicas have executed and committed all of their equal logs. */
export async function converged(replicas: Replica[]): Promise<void> {
  await until(() => {
    const [first, ...others] = replicas.map((replica) => replica.progress());
    return (
      first !== undefined &&
      [first, ...others].every((p) => p.speculative === first.speculative && p.committed === p.speculative && p.executed === p.speculative)
    );
  }, "the replicas converge");
}
