/** `squall doctor`: looks at a cluster from here, and says what is wrong and how to mend it. */
import { lookup } from "node:dns/promises";
import { type ClusterSource, loadCluster, readClusterFile } from "./config.js";
import type { Cluster } from "./config-types.js";
import { configDigest } from "./data/boot.js";
import { type DoctorCheck, fail, ok, warn } from "./doctor/checks.js";
import { judgeGroup, judgeMember, judgeTarget, type LocalFacts, type Member, mayBeDeaf } from "./doctor/judge.js";
import { isLocal, lostOnPort, routeTo } from "./doctor/machine.js";
import { examineMembers, reachedByTarget } from "./doctor/probe.js";
import { SquallError } from "./errors.js";
import { checkInteger, checkOptions } from "./options.js";
import { version } from "./version.js";

export type { CheckName, DoctorCheck } from "./doctor/checks.js";

export interface DoctorOptions {
  cluster: ClusterSource;
  /** Only this replica; by default all, and what a look at all of them shows. */
  id?: number;
  /** For each question to a replica that does not answer; default 1,000 ms. */
  deadlineMs?: number;
  clientKey?: string | URL | { cluster: string; id: string; key: string };
}

export interface DoctorReport {
  /** Nothing failed; there may be warnings. */
  ok: boolean;
  /** The cluster id; undefined when the cluster file could not be read. */
  cluster: string | undefined;
  checks: DoctorCheck[];
}

/**
 * Checks what can be checked from this machine, as a client: names, ports, keys, versions, configuration, life, state, datagram sizes,
 * the multicast group or relay, receive buffers, clocks. What is wrong is in the report; rejects with INVALID_OPTION and
 * UNKNOWN_OPTION only.
 */
export async function doctor(options: DoctorOptions): Promise<DoctorReport> {
  checkOptions("doctor", options, ["cluster", "id", "deadlineMs", "clientKey"]);
  const deadlineMs = options.deadlineMs === undefined ? 1_000 : checkInteger("deadlineMs", options.deadlineMs, 1, 60_000);
  const checks: DoctorCheck[] = [];
  const cluster = await load(options, checks);
  if (cluster === undefined) return { ok: false, cluster: undefined, checks };
  if (options.id !== undefined) checkInteger("id", options.id, 0, cluster.replicas.length - 1);

  const ids = options.id === undefined ? cluster.replicas.map((_, id) => id) : [options.id];
  const evidence = await examineMembers(cluster, ids, deadlineMs);
  const members = ids.map((id, index): Member => {
    const { ip, port } = cluster.replicas[id]!;
    return { id, address: `${ip} port ${port}`, evidence: evidence[index]! };
  });
  const own = { version, configDigest: configDigest(cluster).toString("hex") };
  for (const member of members) checks.push(...judgeMember(cluster, member, await localFacts(cluster, member.id), own));
  const present = members.filter((member) => member.evidence.welcome !== undefined).map(({ id }) => id);
  if (present.length > 0 && cluster.network.design !== "unicast") {
    const deaf = new Set(members.filter(mayBeDeaf).map(({ id }) => id));
    checks.push(...judgeTarget(cluster, present, await reachedByTarget(cluster, present, deadlineMs), deaf));
  }
  if (options.id === undefined) checks.push(...judgeGroup(cluster, members));
  return { ok: checks.every(({ result }) => result !== "fail"), cluster: Buffer.from(cluster.group).toString("hex"), checks };
}

/** The cluster; undefined, with checks that say why, when it can't be loaded. */
async function load(options: DoctorOptions, checks: DoctorCheck[]): Promise<Cluster | undefined> {
  try {
    checks.push(...(await checkNames(options)));
    const cluster = await loadCluster(options.cluster, {
      role: "client",
      ...(options.clientKey === undefined ? {} : { clientKey: options.clientKey }),
    });
    checks.push(ok("file", undefined, `${cluster.file ?? "The cluster object"} is valid, and a key is at hand.`));
    return cluster;
  } catch (error) {
    if (!(error instanceof SquallError) || error.code === "INVALID_OPTION" || error.code === "UNKNOWN_OPTION") throw error;
    // A name that can't be looked up is told already.
    if (!checks.some(({ result }) => result === "fail")) {
      checks.push(fail("file", undefined, `${error.code}: ${error.message}`, "See docs/errors.md."));
    }
    return undefined;
  }
}

async function checkNames({ cluster, id }: DoctorOptions): Promise<DoctorCheck[]> {
  const content = await readClusterFile(cluster);
  if (content === undefined) return [];
  const wanted = content.replicas
    .map(({ host }, replica) => ({ host, replica }))
    .filter(({ replica }) => id === undefined || id === replica);
  return Promise.all(
    wanted.map(async ({ host, replica }) => {
      try {
        const found = (await lookup(host, { all: true })).map(({ address }) => address);
        if (found.length === 1) return ok("name", replica, found[0] === host ? `${host} is an address.` : `${host} is ${found[0]}.`);
        return warn(
          "name",
          replica,
          `${host} has ${found.length} addresses: ${found.join(", ")}. The first of the family that all members share is used.`,
          "Name the address that the replica listens on, or give it a name of its own.",
        );
      } catch (error) {
        const reason = error instanceof Error ? error.message : String(error);
        return fail(
          "name",
          replica,
          `${host} can't be looked up here: ${reason}.`,
          "Correct the name in the cluster file or in DNS, or write the address.",
        );
      }
    }),
  );
}

async function localFacts(cluster: Cluster, id: number): Promise<LocalFacts> {
  const address = cluster.replicas[id]!;
  const [mtu, lostDatagrams] = await Promise.all([routeTo(address), isLocal(address.ip) ? lostOnPort(address.port) : undefined]);
  return { mtu, lostDatagrams };
}
