/**
 * Bodies of the bootstrap messages. A replica takes a life only while it is blank and
 * only if the operator's record names the very process it is (its boot id), so that a life begins once.
 */
import { createHash, randomBytes } from "node:crypto";
import type { Cluster } from "../config-types.js";

export const LifeIdBytes = 16;
export const BootIdBytes = 16;
export const ConfigDigestBytes = 32;

/** The first byte of a Recovering message: the bootstrap record follows. */
export const RecoveringKind = { Commit: 1 } as const;

/** What all replicas of a cluster must have alike: size, ports, sealing and limits. Addresses may be named differently on each host. */
export function configDigest(cluster: Cluster): Buffer {
  const { limits } = cluster;
  const text = JSON.stringify([
    Buffer.from(cluster.group).toString("hex"),
    cluster.replicas.map((replica) => replica.port),
    cluster.network.design,
    cluster.sealed,
    cluster.protocol,
    cluster.mode,
    cluster.durability,
    limits.operationBytes,
    limits.window,
    limits.sessions,
    limits.logEntries,
    limits.logBytes,
    limits.checkpointEvery,
  ]);
  return createHash("sha256").update(text).digest();
}

/** The same without where the replicas are: what a replica that joins must have like the others. */
export function limitsDigest(cluster: Cluster): Buffer {
  return configDigest({ ...cluster, replicas: [] });
}

/** BLANK: boot id 16, config digest 32. */
export function encodeBlank(bootId: Uint8Array, digest: Uint8Array): Uint8Array {
  return Buffer.concat([bootId, digest]);
}

export function decodeBlank(body: Uint8Array): { bootId: Uint8Array; configDigest: Uint8Array } | undefined {
  if (body.length !== BootIdBytes + ConfigDigestBytes) return undefined;
  return { bootId: body.slice(0, BootIdBytes), configDigest: body.slice(BootIdBytes) };
}

/** BOOTSTRAP_COMMIT: life id 16, then the boot id of each replica, by index. */
export interface BootRecord {
  lifeId: Uint8Array;
  bootIds: Uint8Array[];
}

export function encodeBootRecord(record: BootRecord): Uint8Array {
  return Buffer.concat([record.lifeId, ...record.bootIds]);
}

export function decodeBootRecord(body: Uint8Array, n: number): BootRecord | undefined {
  if (body.length !== LifeIdBytes + n * BootIdBytes) return undefined;
  const bootIds: Uint8Array[] = [];
  for (let at = LifeIdBytes; at < body.length; at += BootIdBytes) bootIds.push(body.slice(at, at + BootIdBytes));
  return { lifeId: body.slice(0, LifeIdBytes), bootIds };
}

export function newBootId(): Uint8Array {
  return randomBytes(BootIdBytes);
}
