/** The cluster file's content against the published schema; the schema is also where defaults come from. */
import { readFileSync } from "node:fs";
import { Ajv, type ErrorObject, type ValidateFunction } from "ajv";
import type { ClusterLimits, ClusterMode, ClusterProtocol, ClusterTiming, Durability } from "../config-types.js";
import { SquallError } from "../errors.js";
import { describeValue, suggestName } from "../options.js";
import { protocolProblem } from "./protocols.js";

/** A cluster file as written by hand: what has a default may be left out. */
export interface ClusterFile {
  $schema?: string;
  /** 16 hex digits. */
  cluster: string;
  replicas: HostPort[];
  network?: {
    design?: "unicast" | "multicast" | "serialized";
    multicast?: { group: string; port: number; interface?: string };
    relay?: HostPort;
  };
  secretFile?: string;
  security?: "sealed" | "unsealed-for-benchmarks";
  datagramBytes?: "auto" | number;
  packing?: boolean;
  protocol?: ClusterProtocol;
  mode?: ClusterMode;
  durability?: Durability;
  limits?: Partial<ClusterLimits>;
  timing?: Partial<ClusterTiming>;
}

export interface HostPort {
  host: string;
  port: number;
}

/** A cluster file with its defaults filled in. */
export interface CheckedClusterFile extends ClusterFile {
  network: NonNullable<ClusterFile["network"]> & { design: "unicast" | "multicast" | "serialized" };
  security: "sealed" | "unsealed-for-benchmarks";
  datagramBytes: "auto" | number;
  packing: boolean;
  protocol: ClusterProtocol;
  mode: ClusterMode;
  durability: Durability;
  limits: ClusterLimits;
  timing: ClusterTiming;
}

/** Group sizes with a superquorum worth having; 1 is the unreplicated case. */
const replicaCounts = [1, 3, 5, 7, 9];

const LongestCheckpointEvery = 65_536;

let compiled: ValidateFunction | undefined;

function validator(): ValidateFunction {
  if (compiled === undefined) {
    const schema = JSON.parse(readFileSync(new URL("../../schema/cluster.schema.json", import.meta.url), "utf8"));
    compiled = new Ajv({ useDefaults: true, verbose: true, strict: true, strictRequired: false, strictTypes: false }).compile(schema);
  }
  return compiled;
}

/** Checks parsed JSON and fills defaults in (in place). Throws CLUSTER_FILE_INVALID, naming `label`, the key and what to do. */
export function validateClusterFile(content: unknown, label: string): CheckedClusterFile {
  const given = givenKeys(content);
  const validate = validator();
  if (!validate(content)) throw invalid(label, explain(validate.errors?.[0]));
  const spec = content as CheckedClusterFile;
  if (!replicaCounts.includes(spec.replicas.length)) {
    throw invalid(label, `"replicas" must list 3, 5, 7 or 9 replicas (or 1); it lists ${spec.replicas.length}.`);
  }
  const problem = protocolProblem(spec.protocol, spec.replicas.length, given);
  if (problem !== undefined) throw invalid(label, problem);
  spec.limits.checkpointEvery ??= Math.min(LongestCheckpointEvery, Math.floor(spec.limits.logEntries / 8));
  if (spec.limits.checkpointEvery > spec.limits.logEntries / 4) {
    throw invalid(
      label,
      `"limits.checkpointEvery" (${spec.limits.checkpointEvery}) must not exceed a quarter of "limits.logEntries" (${spec.limits.logEntries}): the log holds two intervals and what is not committed yet.`,
    );
  }
  if (spec.timing.heartbeatMs > spec.timing.detectMs / 2) {
    throw invalid(
      label,
      `"timing.heartbeatMs" (${spec.timing.heartbeatMs}) must not exceed half of "timing.detectMs" (${spec.timing.detectMs}).`,
    );
  }
  if (spec.timing.syncMinMs > spec.timing.syncMaxMs) {
    throw invalid(label, `"timing.syncMinMs" (${spec.timing.syncMinMs}) must not exceed "timing.syncMaxMs" (${spec.timing.syncMaxMs}).`);
  }
  const taken = new Set<string>();
  const hosts = spec.network.design === "serialized" && spec.network.relay ? [...spec.replicas, spec.network.relay] : spec.replicas;
  for (const { host, port } of hosts) {
    const address = `${host}:${port}`;
    if (taken.has(address))
      throw invalid(label, `the address ${address} is named twice: give each replica and the relay a port of its own.`);
    taken.add(address);
  }
  return spec;
}

/** What is in the file itself: the validator fills defaults in. */
function givenKeys(content: unknown): { mode: boolean; prepareBatch: boolean } {
  const file = (content ?? {}) as { mode?: unknown; limits?: { prepareBatch?: unknown } | null };
  return { mode: file.mode !== undefined, prepareBatch: file.limits?.prepareBatch !== undefined };
}

export function invalid(label: string, problem: string): SquallError {
  return new SquallError("CLUSTER_FILE_INVALID", `${label}: ${problem}`);
}

/** "/replicas/1/port" as a user writes it: replicas[1].port */
function keyName(pointer: string, last?: string): string {
  const parts = pointer.split("/").slice(1);
  if (last !== undefined) parts.push(last);
  return parts.map((part, index) => (/^\d+$/.test(part) ? `[${part}]` : index === 0 ? part : `.${part}`)).join("");
}

function explain(error: ErrorObject | undefined): string {
  if (error === undefined) return "is not valid.";
  const parent = error.parentSchema as { description?: string; properties?: Record<string, { description?: string }> } | undefined;
  if (error.keyword === "additionalProperties") {
    const key = String(error.params.additionalProperty);
    return `unknown key "${keyName(error.instancePath, key)}". ${suggestName(key, Object.keys(parent?.properties ?? {}))}`;
  }
  if (error.keyword === "required") {
    const key = String(error.params.missingProperty);
    const design = (error.data as { design?: string }).design;
    const why = error.instancePath === "/network" && design !== undefined ? ` by the design "${design}"` : "";
    const hint = parent?.properties?.[key]?.description;
    return `the key "${keyName(error.instancePath, key)}" is missing; it is needed${why}.${hint ? ` ${hint}` : ""}`;
  }
  const name = error.instancePath === "" ? "the file" : `"${keyName(error.instancePath)}"`;
  const allowed =
    error.keyword === "enum"
      ? `must be one of ${(error.params.allowedValues as string[]).map((value) => `"${value}"`).join(", ")}`
      : error.message;
  return `${name} ${allowed}; it is ${describeValue(error.data)}.${parent?.description ? ` ${parent.description}` : ""}`;
}
