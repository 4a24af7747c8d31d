/** Makes what a new cluster needs: cluster file, secret, clients' keys. */
import { randomBytes, randomInt } from "node:crypto";
import { mkdir, readFile, rename, stat, writeFile } from "node:fs/promises";
import path from "node:path";
import type { Cluster } from "../config-types.js";
import { loadBinding } from "../data/load.js";
import { SquallError } from "../errors.js";
import { checkInteger, checkOptions, describeValue } from "../options.js";
import { lookUp } from "./addresses.js";
import { type ClusterFile, validateClusterFile } from "./cluster-file.js";

export interface InitOptions {
  /** 3 (default), 5, 7, 9 or 1. */
  replicas?: number;
  /** Host of all replicas, or one per replica. Default 127.0.0.1. */
  host?: string | string[];
  /** Port of replica 0; the others follow, and the relay's after them. With one host per replica all have this port. Default 7100. */
  port?: number;
  /** One port per replica, and one more for the relay of the serialized design, instead of `port`. */
  ports?: number[];
  design?: "unicast" | "multicast" | "serialized";
  security?: "sealed" | "unsealed-for-benchmarks";
  /** Default "speculative". With "unreplicated" there is one replica. */
  protocol?: ClusterFile["protocol"];
  /** Of the protocol "speculative"; default "adaptive". */
  mode?: ClusterFile["mode"];
  /** Default "memory". */
  durability?: ClusterFile["durability"];
  limits?: ClusterFile["limits"];
  timing?: ClusterFile["timing"];
}

const optionNames = [
  "replicas",
  "host",
  "port",
  "ports",
  "design",
  "security",
  "protocol",
  "mode",
  "durability",
  "limits",
  "timing",
] as const;
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
  const listed = Array.isArray(options.host) ? options.host : undefined;
  const count = checkInteger("replicas", options.replicas ?? listed?.length ?? (options.protocol === "unreplicated" ? 1 : 3), 1, 9);
  if (listed !== undefined && listed.length !== count) {
    throw new SquallError(
      "INVALID_OPTION",
      `host lists ${listed.length} hosts for ${count} replicas: give one for each, or a single one for all.`,
    );
  }
  const hosts = listed ?? new Array<string>(count).fill((options.host as string | undefined) ?? "127.0.0.1");
  const ports = portsOf(options, count, listed !== undefined);
  const replicas = hosts.map((host, id) => ({ host, port: ports[id]! }));
  return {
    cluster: randomBytes(8).toString("hex"),
    replicas,
    network: network(options.design ?? "unicast", hosts[0]!, ports[count]!),
    secretFile: "cluster.secret",
    ...(options.security === undefined ? {} : { security: options.security }),
    ...(options.protocol === undefined ? {} : { protocol: options.protocol }),
    ...(options.mode === undefined ? {} : { mode: options.mode }),
    ...(options.durability === undefined ? {} : { durability: options.durability }),
    ...(options.limits === undefined ? {} : { limits: options.limits }),
    ...(options.timing === undefined ? {} : { timing: options.timing }),
  };
}

/** The replicas' ports, then one for a relay or multicast group. */
function portsOf(options: InitOptions, count: number, hostEach: boolean): number[] {
  if (options.ports !== undefined) {
    if (
      !Array.isArray(options.ports) ||
      options.ports.length < count ||
      (options.design !== undefined && options.design !== "unicast" && options.ports.length <= count)
    ) {
      throw new SquallError(
        "INVALID_OPTION",
        `ports must list a port for each of the ${count} replicas, and one more for a relay or multicast group.`,
      );
    }
    return options.ports.map((port) => checkInteger("each of ports", port, 1, 65535));
  }
  const first = checkInteger("port", options.port ?? 7100, 1, 65535 - count);
  return Array.from({ length: count + 1 }, (_, id) => (hostEach && id < count ? first : first + id));
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
      ? `${file} exists already: remove it, or choose another place.`
      : `${file} can't be written (${(cause as Error).message}).`;
    throw new SquallError("INVALID_OPTION", problem, { cause });
  }
}

/**
 * Puts these members in the place of a cluster file's replicas, all at once; the rest of the file stays as it is written. A member is named as
 * the file named it, or as one of `named` does, if that name still has its address. Rejects with CLUSTER_FILE_MISSING or CLUSTER_FILE_INVALID.
 */
export async function rewriteMembers(
  file: string,
  members: readonly { ip: string; port: number }[],
  named: readonly { ip: string; port: number }[] = [],
): Promise<void> {
  const target = path.resolve(file);
  let text: string;
  try {
    text = await readFile(target, "utf8");
  } catch (cause) {
    throw new SquallError("CLUSTER_FILE_MISSING", `${target} can't be read (${(cause as Error).message}).`, { cause });
  }
  const before = (JSON.parse(text) as { replicas?: { host: string; port: number }[] }).replicas ?? [];
  const hosts = await hostsOf(members, [...before, ...named.map(({ ip, port }) => ({ host: ip, port }))]);
  const list = `[\n${members.map(({ port }, i) => `    ${JSON.stringify({ host: hosts[i], port })}`).join(",\n")}\n  ]`;
  // A list of flat objects: it ends with the first bracket that is not inside of a string.
  const changed = text.replace(/("replicas"\s*:\s*)\[(?:[^\]"]|"(?:[^"\\]|\\.)*")*\]/, (_, key: string) => key + list);
  validateClusterFile(JSON.parse(changed), target);
  const fresh = `${target}.${randomBytes(4).toString("hex")}`;
  await writeFile(fresh, changed, { mode: (await stat(target)).mode });
  await rename(fresh, target);
}

/** How each member is named by the first of `known` with its port and address; else by its address. */
async function hostsOf(
  members: readonly { ip: string; port: number }[],
  known: readonly { host: string; port: number }[],
): Promise<string[]> {
  const resolved = await Promise.all(known.map(async ({ host, port }) => ({ host, port, ip: await lookUp(host).catch(() => undefined) })));
  return members.map(({ ip, port }) => resolved.find((one) => one.ip === ip && one.port === port)?.host ?? ip);
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
