/** Reads a cluster file: validates it against the published schema, looks hosts up, fills defaults in, reads keys. */
import { readFile } from "node:fs/promises";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { type HostLookup, hasNames, resolveAddresses } from "./config/addresses.js";
import { type CheckedClusterFile, type ClusterFile, validateClusterFile } from "./config/cluster-file.js";
import { type ClientKey, readClientKey, readSecret } from "./config/keys.js";
import { type Cluster, lookAgain } from "./config-types.js";
import { SquallError } from "./errors.js";
import { checkOptions, describeValue } from "./options.js";

export type { HostLookup } from "./config/addresses.js";
export type { ClusterFile } from "./config/cluster-file.js";
export { type InitOptions, issueClientKey, rewriteMembers, writeClientKey, writeCluster } from "./config/write.js";

/** What names a cluster: the path or file URL of a cluster file, its parsed content, or a cluster loaded before. */
export type ClusterSource = string | URL | ClusterFile | Cluster;

export interface LoadClusterOptions {
  /** What the caller will be. A replica or an operator needs the secret, a client the secret or its key, a relay neither. */
  role?: "replica" | "operator" | "client" | "relay";
  /** The secret itself, 32 bytes, instead of `secretFile`. */
  secret?: Uint8Array;
  /** A client's own key: the path of the file made by `squall key issue`, or its content. */
  clientKey?: string | URL | { cluster: string; id: string; key: string };
  /** Where relative paths start when `source` is an object. Default: the working directory. */
  directory?: string;
  /** Gives the addresses of a host name, the preferred one first; asked again when nobody answers. Default: the system's, as `dns.lookup`. */
  lookup?: HostLookup;
}

const optionNames = ["role", "secret", "clientKey", "directory", "lookup"] as const;
const loopbackDatagramBytes = 32768;
const networkDatagramBytes = 1400;

/**
 * Loads a cluster. Hosts are looked up now, and by clients and relays again while nobody answers; an unknown key is refused with the nearest right name.
 * Rejects with CLUSTER_FILE_MISSING, CLUSTER_FILE_INVALID, ADDRESS_INVALID, SECRET_MISSING, SECRET_INVALID, WRONG_CLUSTER (a
 * client key of another cluster) or INVALID_OPTION.
 */
export async function loadCluster(source: ClusterSource, options: LoadClusterOptions = {}): Promise<Cluster> {
  checkOptions("loadCluster", options, optionNames);
  if (isLoaded(source)) return withKeys(source, options, source.file === undefined ? "the cluster" : source.file);
  const { content, file, directory } = await readSource(source, options.directory);
  const label = file ?? "cluster object";
  const spec = validateClusterFile(content, label);
  const resolve = () => resolveAddresses(spec, label, options.lookup);
  const addresses = await resolve();
  const secretPath = spec.secretFile === undefined ? undefined : path.resolve(directory, spec.secretFile);
  const cluster: Cluster = {
    file,
    group: Buffer.from(spec.cluster, "hex"),
    replicas: addresses.replicas,
    network: addresses.network,
    secret: undefined,
    clientKey: undefined,
    sealed: spec.security === "sealed",
    protocol: spec.protocol,
    mode: spec.mode,
    durability: spec.durability,
    datagramBytes: spec.datagramBytes === "auto" ? (addresses.loopback ? loopbackDatagramBytes : networkDatagramBytes) : spec.datagramBytes,
    packing: spec.packing,
    limits: spec.limits,
    timing: spec.timing,
    ...(hasNames(spec) && { [lookAgain]: resolve }),
  };
  if (!cluster.sealed) warnUnsealed(label);
  return withKeys(cluster, options, label, secretPath);
}

/**
 * The checked content of a cluster file, with defaults and without looking hosts up; undefined for a cluster that is loaded already.
 * Rejects with CLUSTER_FILE_MISSING, CLUSTER_FILE_INVALID or INVALID_OPTION.
 */
export async function readClusterFile(source: ClusterSource): Promise<CheckedClusterFile | undefined> {
  if (isLoaded(source)) return undefined;
  const { content, file } = await readSource(source, undefined);
  return validateClusterFile(content, file ?? "cluster object");
}

function isLoaded(source: ClusterSource): source is Cluster {
  return typeof source === "object" && source !== null && "group" in source && source.group instanceof Uint8Array;
}

async function readSource(source: ClusterSource, directory: string | undefined) {
  if (typeof source === "string" || source instanceof URL) {
    const file = path.resolve(source instanceof URL ? urlPath(source) : source);
    return { content: parseJson(await readText(file), file), file, directory: path.dirname(file) };
  }
  if (typeof source !== "object" || source === null) {
    throw new SquallError(
      "INVALID_OPTION",
      `cluster must be the path of a cluster file, a file URL or an object; it is ${describeValue(source)}.`,
    );
  }
  return { content: structuredClone(source) as unknown, file: undefined, directory: directory ?? process.cwd() };
}

function urlPath(url: URL): string {
  if (url.protocol === "file:") return fileURLToPath(url);
  throw new SquallError("INVALID_OPTION", `cluster must be a path or a file URL; it is ${describeValue(url.href)}.`);
}

async function readText(file: string): Promise<string> {
  try {
    return await readFile(file, "utf8");
  } catch (cause) {
    const reason = (cause as NodeJS.ErrnoException).code === "ENOENT" ? "does not exist" : `can't be read (${(cause as Error).message})`;
    throw new SquallError("CLUSTER_FILE_MISSING", `The cluster file ${file} ${reason}. Make one with \`squall init\`, or pass its path.`, {
      cause,
    });
  }
}

function parseJson(text: string, file: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new SquallError(
      "CLUSTER_FILE_INVALID",
      `${file} is not JSON: ${(cause as Error).message}. Correct it, or make one with \`squall init\`.`,
      { cause },
    );
  }
}

/** The cluster with the secret and the client key that `options` and the file name. */
async function withKeys(cluster: Cluster, options: LoadClusterOptions, label: string, secretPath?: string): Promise<Cluster> {
  const clientKey = options.clientKey === undefined ? cluster.clientKey : await readClientKey(options.clientKey, cluster.group);
  const secret = await findSecret(cluster, options, secretPath, clientKey);
  if (secret === undefined && options.role !== undefined && options.role !== "relay" && !(options.role === "client" && clientKey)) {
    const whoElse = options.role === "client" ? ", or a client key made by `squall key issue`" : "";
    throw new SquallError("SECRET_MISSING", `${label} names no "secretFile", and a ${options.role} needs the cluster secret${whoElse}.`);
  }
  return { ...cluster, secret, clientKey };
}

async function findSecret(cluster: Cluster, options: LoadClusterOptions, secretPath: string | undefined, clientKey: ClientKey | undefined) {
  if (options.secret !== undefined) {
    if (options.secret instanceof Uint8Array && options.secret.length === 32) return options.secret;
    throw new SquallError("SECRET_INVALID", "The option secret must be a Uint8Array of 32 bytes.");
  }
  if (cluster.secret !== undefined) return cluster.secret;
  // A client with a key of its own, and a relay, may run where the secret is not.
  if (options.role === "relay" || clientKey !== undefined) return undefined;
  if (secretPath !== undefined) return readSecret(secretPath);
  return cluster.sealed ? undefined : new Uint8Array(32);
}

function warnUnsealed(label: string): void {
  process.emitWarning(`${label} asks for "security": "unsealed-for-benchmarks": frames are neither authenticated nor encrypted.`, {
    type: "SquallWarning",
    code: "SQUALL_UNSEALED",
  });
}
