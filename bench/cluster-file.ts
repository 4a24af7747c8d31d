import { randomBytes, randomInt } from "node:crypto";
import { createSocket, type Socket } from "node:dgram";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Durability } from "squall";

export type Design = "multicast" | "serialized" | "unicast";
export type Mode = "adaptive" | "speculative" | "leader";

/** Below those that systems give to sockets that ask for any: the many sockets of clients must not take a port before its replica does. */
const firstPort = 10_000;
const ports = 22_000;
const tries = 100;

/** UDP ports of the loopback address that nobody holds at the moment. */
export async function freePorts(count: number): Promise<number[]> {
  const sockets = await Promise.all(Array.from({ length: count }, () => bindAnywhere()));
  const found = sockets.map((socket) => socket.address().port);
  await Promise.all(sockets.map((socket) => new Promise<void>((resolve) => socket.close(resolve))));
  return found;
}

async function bindAnywhere(): Promise<Socket> {
  for (let i = 0; i < tries; i++) {
    const socket = createSocket("udp4");
    const bound = new Promise<boolean>((resolve) => {
      socket.once("error", () => resolve(false));
      socket.bind(firstPort + randomInt(ports), "127.0.0.1", () => resolve(true));
    });
    if (await bound) return socket;
  }
  throw new Error(`no free UDP port of loopback from ${firstPort} to ${firstPort + ports - 1} in ${tries} tries`);
}

/** A multicast group of the organization-local range, drawn anew so that runs side by side do not hear each other. */
export function randomMulticastGroup(): string {
  const bytes = randomBytes(3);
  return `239.${bytes[0]! & 0x3f}.${bytes[1]}.${1 + (bytes[2]! % 254)}`;
}

export interface ClusterFileOptions {
  folder: string;
  /** Of the new folder inside `folder`. */
  name: string;
  design: Design;
  /** How many replicas on free ports of loopback; default 3. */
  count?: number;
  /** Hosts and ports of the replicas instead. */
  replicas?: { host: string; port: number }[];
  mode?: Mode;
  protocol?: string;
  durability?: Durability;
  packing?: boolean;
  limits?: Record<string, number>;
  timing?: Record<string, number>;
}

/** Writes a cluster file, by default for three replicas on loopback, and its secret, readable by its owner only; returns the file's path. */
export async function writeClusterFile(options: ClusterFileOptions): Promise<string> {
  const folder = join(options.folder, options.name);
  mkdirSync(folder);
  const [port, groupPort, ...replicaPorts] = await freePorts(2 + (options.count ?? 3));
  const group = randomMulticastGroup();
  const networks = {
    unicast: { design: "unicast" },
    multicast: { design: "multicast", multicast: { group, port } },
    serialized: { design: "serialized", relay: { host: "127.0.0.1", port }, multicast: { group, port: groupPort } },
  };
  const content = {
    cluster: randomBytes(8).toString("hex"),
    replicas: options.replicas ?? replicaPorts.map((replicaPort) => ({ host: "127.0.0.1", port: replicaPort })),
    network: networks[options.design],
    secretFile: "cluster.secret",
    ...(options.mode && { mode: options.mode }),
    ...(options.protocol && { protocol: options.protocol }),
    ...(options.durability && { durability: options.durability }),
    ...(options.packing !== undefined && { packing: options.packing }),
    limits: { ...options.limits },
    ...(options.timing && { timing: options.timing }),
  };
  writeFileSync(join(folder, "cluster.secret"), `${randomBytes(32).toString("hex")}\n`, { mode: 0o600 });
  const file = join(folder, "cluster.json");
  writeFileSync(file, JSON.stringify(content, null, 2));
  return file;
}
