/** Makes what a new cluster needs: cluster file, secret, clients' keys. */
import { randomBytes, randomInt } from "node:crypto";
import { mkdir, writeFile } from "node:fs/promises";
import path from "node:path";
import type { Cluster } from "../config-types.js";
import { loadBinding } from "../data/load.js";
import { SquallError } from "../errors.js";
import { checkInteger, checkOptions, describeValue } from "../options.js";
import { type ClusterFile, validateClusterFile } from "./cluster-file.js";

export interface InitOptions {
  /** 3 (default), 5, 7, 9 or 1. */
  replicas?: number;
  /** Host of all replicas, or one per replica. Default 127.0.0.1. */
  host?: string | string[];
  /** Port of replica 0; the others follow. With one host per replica all have this port. Default 7100. */
  port?: number;
  design?: "unicast" | "multicast" | "serialized";
  security?: "sealed" | "unsealed-for-benchmarks";
  limits?: ClusterFile["limits"];
  timing?: ClusterFile["timing"];
}

const optionNames = ["replicas", "host", "port", "design", "security", "limits", "timing"] as const;
const ownerOnly = 0o600;

/**
 * Writes cluster.json and cluster.secret (readable by its owner only) into `directory`, which is made if need be; never overwrites.
 * Resolves with their paths and what was written. Rejects with INVALID_OPTION, UNKNOWN_OPTION or CLUSTER_FILE_INVALID.
 */
export async function writeCluster(directory: string, options: InitOptions = {}) {
  checkOptions("writeCluster", options, optionNames);
  const file = path.resolve(directory, "cluster.json");
  const secretFile = path.resolve(directory, "cluster.secret");
  const content = clusterFile(options);
  validateClusterFile(structuredClone(content), file);
  await mkdir(directory, { recursive: true });
  await writeNew(secretFile, `${randomBytes(32).toString("hex")}\n`);
  await writeNew(file, `${JSON.stringify(content, null, 2)}\n`, 0o644);
  return { file, secretFile, content };
}

function clusterFile(options: InitOptions): ClusterFile {
  const count = checkInteger("replicas", options.replicas ?? (Array.isArray(options.host) ? options.host.length : 3), 1, 9);
  const firstPort = checkInteger("port", options.port ?? 7100, 1, 65535 - count - 1);
  const hosts = Array.isArray(options.host) ? options.host : undefined;
  if (hosts !== undefined && hosts.length !== count) {
    throw new SquallError(
      "INVALID_OPTION",
      `host lists ${hosts.length} hosts for ${count} replicas: give one for each, or a single one for all.`,
    );
  }
  const oneHost = hosts === undefined ? ((options.host as string | undefined) ?? "127.0.0.1") : undefined;
  const replicas = Array.from({ length: count }, (_, id) =>
    oneHost === undefined ? { host: hosts![id]!, port: firstPort } : { host: oneHost, port: firstPort + id },
  );
  return {
    cluster: randomBytes(8).toString("hex"),
    replicas,
    network: network(options.design ?? "unicast", replicas[0]!.host, firstPort + count),
    secretFile: "cluster.secret",
    ...(options.security === undefined ? {} : { security: options.security }),
    ...(options.limits === undefined ? {} : { limits: options.limits }),
    ...(options.timing === undefined ? {} : { timing: options.timing }),
  };
}

function network(design: NonNullable<InitOptions["design"]>, host: string, port: number): ClusterFile["network"] {
  if (design === "multicast") {
    const group = host.includes(":")
      ? `ff15::${randomBytes(2).toString("hex")}:${randomInt(1, 0xffff).toString(16)}`
      : `239.${randomInt(192, 256)}.${randomInt(256)}.${randomInt(1, 255)}`;
    return { design, multicast: { group, port } };
  }
  if (design === "serialized") return { design, relay: { host, port } };
  if (design === "unicast") return { design };
  throw new SquallError("INVALID_OPTION", `design must be unicast, multicast or serialized; it is ${describeValue(design)}.`);
}

/** Writes a file that must not exist yet. */
async function writeNew(file: string, text: string, mode = ownerOnly): Promise<void> {
  try {
    await writeFile(file, text, { flag: "wx", mode });
  } catch (cause) {
    const exists = (cause as NodeJS.ErrnoException).code === "EEXIST";
    const problem = exists
      ? `${file} exists already: remove it, or choose another directory.`
      : `${file} can't be written (${(cause as Error).message}).`;
    throw new SquallError("INVALID_OPTION", problem, { cause });
  }
}

/**
 * A key for one client, derived from the cluster secret: the content of a client key file. `id` is 16 hex digits, by default random.
 * Throws SECRET_MISSING when the cluster was loaded without its secret, INVALID_OPTION for a malformed id.
 */
export function issueClientKey(
  cluster: Cluster,
  id: string = randomBytes(8).toString("hex"),
): { cluster: string; id: string; key: string } {
  if (cluster.secret === undefined) throw new SquallError("SECRET_MISSING", "Issuing a client key needs the cluster secret.");
  if (!/^[0-9a-fA-F]{16}$/.test(id)) throw new SquallError("INVALID_OPTION", `A client id is 16 hex digits; it is ${describeValue(id)}.`);
  const key = loadBinding().clientKey(cluster.secret, Buffer.from(id, "hex"));
  return { cluster: Buffer.from(cluster.group).toString("hex"), id, key: Buffer.from(key).toString("hex") };
}

/** Writes a client key file, readable by its owner only; never overwrites. */
export async function writeClientKey(file: string, content: { cluster: string; id: string; key: string }): Promise<void> {
  await writeNew(path.resolve(file), `${JSON.stringify(content, null, 2)}\n`);
}
