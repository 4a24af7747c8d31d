/** Starts a cluster's life: the only way to view 0. */
import { type ClusterSource, loadCluster } from "./config.js";
import { MessageType } from "./data/binding.js";
import { configDigest, decodeBlank, encodeBootRecord, LifeIdBytes, newBootId } from "./data/boot.js";
import { openTool } from "./data/tool.js";
import { SquallError } from "./errors.js";
import { checkInteger, checkOptions } from "./options.js";

export interface BootstrapOptions {
  cluster: ClusterSource;
  /** Until all replicas must have taken part; default 5,000 ms. */
  deadlineMs?: number;
}

/**
 * Bootstraps a cluster whose replicas are all running and blank: draws a fresh random life id and has every replica enter
 * NORMAL in view 0 of it. Resolves to the life id in hexadecimal. Rejects with ALREADY_BOOTSTRAPPED when a replica has a
 * life, BOOTSTRAP_INCOMPLETE naming who did not answer or has another configuration, and what loadCluster rejects with.
 */
export async function bootstrap(options: BootstrapOptions): Promise<{ lifeId: string }> {
  checkOptions("bootstrap", options, ["cluster", "deadlineMs"]);
  const deadlineMs = options.deadlineMs === undefined ? 5_000 : checkInteger("deadlineMs", options.deadlineMs, 1, 3_600_000);
  const cluster = await loadCluster(options.cluster, { role: "operator" });
  const n = cluster.replicas.length;
  const expected = configDigest(cluster);
  const lifeId = newBootId().subarray(0, LifeIdBytes);
  const bootIds: (Uint8Array | undefined)[] = new Array<undefined>(n).fill(undefined);
  const otherConfig = new Set<number>();
  const done = new Set<number>();
  let otherLife: { replica: number; lifeId: string } | undefined;
  let record: Uint8Array | undefined;

  const tool = openTool(cluster, "operator", (type, from, body) => {
    if (from < 0 || from >= n) return;
    if (type === MessageType.Bootstrapped) {
      if (Buffer.compare(body, lifeId) === 0) done.add(from);
      else otherLife ??= { replica: from, lifeId: Buffer.from(body).toString("hex") };
    } else if (type === MessageType.Blank && record === undefined) {
      const blank = decodeBlank(body);
      if (blank === undefined) return;
      if (Buffer.compare(blank.configDigest, expected) === 0) {
        otherConfig.delete(from);
        bootIds[from] = blank.bootId;
      } else {
        otherConfig.add(from);
      }
    }
  });
  const toAll = (type: number, body: Uint8Array, skip: (replica: number) => boolean): void => {
    for (let replica = 0; replica < n; replica++) if (!skip(replica)) tool.send(replica, type, body);
  };
  try {
    const end = performance.now() + deadlineMs;
    await tool.run(deadlineMs, (due) => {
      if (due) toAll(MessageType.BootstrapPrepare, lifeId, (replica) => bootIds[replica] !== undefined);
      return otherLife !== undefined || bootIds.every((id) => id !== undefined);
    });
    refuseOtherLife(otherLife);
    const missing = indices(n).filter((replica) => bootIds[replica] === undefined);
    if (missing.length > 0) throw incomplete(missing, otherConfig, "No replica has been given a life; start them and try again.");
    record = encodeBootRecord({ lifeId, bootIds: bootIds as Uint8Array[] });
    const body = record;
    await tool.run(Math.max(1, end - performance.now()), (due) => {
      if (due) toAll(MessageType.BootstrapCommit, body, (replica) => done.has(replica));
      return otherLife !== undefined || done.size === n;
    });
    refuseOtherLife(otherLife);
    if (done.size < n) {
      throw incomplete(
        indices(n).filter((replica) => !done.has(replica)),
        otherConfig,
        "The others have their life and tell it to a replica that still runs; one that was restarted recovers from them.",
      );
    }
    return { lifeId: Buffer.from(lifeId).toString("hex") };
  } finally {
    tool.close();
  }
}

function indices(n: number): number[] {
  return Array.from({ length: n }, (_, replica) => replica);
}

function refuseOtherLife(other: { replica: number; lifeId: string } | undefined): void {
  if (other === undefined) return;
  throw new SquallError(
    "ALREADY_BOOTSTRAPPED",
    `Replica ${other.replica} already lives (life ${other.lifeId}). A cluster is bootstrapped once.`,
  );
}

function incomplete(missing: number[], otherConfig: ReadonlySet<number>, advice: string): SquallError {
  const silent = missing.filter((replica) => !otherConfig.has(replica));
  const parts: string[] = [];
  if (silent.length > 0) parts.push(`no answer from replica ${silent.join(", ")}`);
  if (otherConfig.size > 0) parts.push(`another configuration (replicas, sealing or limits) at replica ${[...otherConfig].join(", ")}`);
  return new SquallError("BOOTSTRAP_INCOMPLETE", `The bootstrap is not complete: ${parts.join("; ")}. ${advice}`);
}
