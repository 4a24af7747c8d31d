/** Membership: who the replicas of a cluster are, and how that is changed while it runs. */
import { setTimeout as sleep } from "node:timers/promises";
import { lookUp } from "./config/addresses.js";
import { type ClusterSource, loadCluster } from "./config.js";
import type { Cluster } from "./config-types.js";
import { type Configuration, encodeConfiguration, formatAddress, MaxMembers, type Member } from "./control/membership.js";
import { MessageType } from "./data/binding.js";
import { limitsDigest } from "./data/boot.js";
import { openTool } from "./data/tool.js";
import { type ErrorCode, SquallError } from "./errors.js";
import { checkAddress, checkInteger, checkOptions, describeValue } from "./options.js";
import { parseReport } from "./query-status.js";
import type { ReplicaReport } from "./status.js";

type Address = { ip: string; port: number };

/** What is to become of the members. `ip` may be a host's name: it is looked up. */
export interface MembershipChange {
  /** Blank replicas that join, at these addresses. */
  add?: readonly Address[];
  /** Indices of members that leave. */
  remove?: readonly number[];
  /** Members whose place a blank replica takes, wherever they are now: also dead ones. */
  replace?: readonly { index: number; address: Address }[];
}

export interface ReconfigureOptions {
  cluster: ClusterSource;
  change: MembershipChange;
  /** Until all is done; default 30,000 ms. */
  deadlineMs?: number;
}

export interface ListMembersOptions {
  cluster: ClusterSource;
  /** Until answers are waited for; default 1,000 ms. */
  deadlineMs?: number;
}

export interface Membership {
  /** 0 at first; each change makes it one more. */
  epoch: number;
  lifeId: string;
  /** By index. `report` is undefined for those that did not answer. */
  members: { address: Address; report: ReplicaReport | undefined }[];
}

export type ReconfigureProgress =
  /** Who is there, and who is to join. */
  | { state: "collecting"; epoch: number }
  /** The members reconcile, so that their epoch ends. */
  | { state: "closing"; epoch: number }
  /** `ready` of `total` members of the new epoch take part in it. */
  | { state: "transferring"; epoch: number; ready: number; total: number }
  | { state: "done"; epoch: number; members: Address[] };

const RoundMs = 250;

/**
 * The present members, from whoever of the cluster file's addresses knows; their own later configuration counts, not the file's.
 * Rejects with MEMBERS_UNREACHABLE when nobody there belongs to a life, and with what loadCluster rejects with.
 */
export async function listMembers(options: ListMembersOptions): Promise<Membership> {
  checkOptions("listMembers", options, ["cluster", "deadlineMs"]);
  const deadlineMs = options.deadlineMs === undefined ? 1_000 : checkInteger("deadlineMs", options.deadlineMs, 1, 3_600_000);
  return discover(await loadCluster(options.cluster, { role: "client" }), deadlineMs);
}

/**
 * Changes the members of a running cluster, one configuration to the next, and tells how far it got; ends once all members of the new
 * epoch take part in it. Clients go on without an error. Throws MEMBERS_INVALID for a change that leads to no configuration,
 * MEMBERS_UNREACHABLE, MEMBERS_NOT_BLANK, MEMBERS_CONFIG, MEMBERS_REFUSED, MEMBERS_INCOMPLETE at the deadline, and what loadCluster throws.
 */
export async function* reconfigure(options: ReconfigureOptions): AsyncGenerator<ReconfigureProgress, void, undefined> {
  checkOptions("reconfigure", options, ["cluster", "change", "deadlineMs"]);
  checkOptions("reconfigure's change", options.change, ["add", "remove", "replace"]);
  const deadlineMs = options.deadlineMs === undefined ? 30_000 : checkInteger("deadlineMs", options.deadlineMs, 1, 3_600_000);
  const cluster = await loadCluster(options.cluster, { role: "operator" });
  const change = await resolved(options.change);
  const endMs = performance.now() + deadlineMs;
  const leftMs = (): number => Math.max(1, endMs - performance.now());
  const before = await discover(cluster, Math.min(1_000, leftMs()));
  const epoch = before.epoch + 1;
  const next = applyChange(before, change);
  yield { state: "collecting", epoch };
  const configuration = await withBootIds(cluster, before, next, Math.min(3_000, leftMs()));
  const members = configuration.members.map(({ address }) => address as Address);
  yield { state: "closing", epoch };
  const request = Buffer.concat([Buffer.from(before.lifeId, "hex"), encodeConfiguration(configuration)]);
  const old = before.members.map(({ address }) => address);
  let ready = -1;
  for (;;) {
    const refusal = ready < 0 ? await ask(cluster, old, request, Math.min(RoundMs, leftMs())) : undefined;
    const reports = (await askAll(cluster, members, Math.min(RoundMs, leftMs()))).map((report) =>
      report?.epoch === epoch && report.lifeId === before.lifeId && report.status === "normal" && !report.joining ? report : undefined,
    );
    const now = reports.filter((report) => report !== undefined).length;
    if (refusal !== undefined && now === 0) throw refused(refusal, cluster);
    if (now > 0 && now !== ready) {
      ready = now;
      yield { state: "transferring", epoch, ready, total: members.length };
    }
    if (now === members.length) break;
    if (performance.now() >= endMs) {
      const missing = members.filter((_, index) => reports[index] === undefined).map(formatAddress);
      throw new SquallError(
        "MEMBERS_INCOMPLETE",
        now > 0
          ? `Epoch ${epoch} has begun, but these members do not take part in it yet: ${missing.join(", ")}. They join by themselves once they can be reached.`
          : `The members did not come to an end of epoch ${before.epoch} in ${deadlineMs} ms: a majority of them must be up. Look at \`squall status\` and try again.`,
      );
    }
    await sleep(50);
  }
  yield { state: "done", epoch, members };
}

async function resolved(change: MembershipChange): Promise<MembershipChange> {
  const { add = [], remove = [], replace = [] } = change;
  for (const [name, list] of Object.entries({ add, remove, replace })) {
    if (!Array.isArray(list)) throw new SquallError("INVALID_OPTION", `change.${name} must be an array; it is ${describeValue(list)}.`);
  }
  const resolve = async (name: string, address: unknown): Promise<Address> => {
    const { ip, port } = checkAddress(name, address);
    return { ip: await lookUp(ip), port };
  };
  return {
    add: await Promise.all(add.map((address) => resolve("change.add", address))),
    remove,
    replace: await Promise.all(
      replace.map(async (one) => {
        checkOptions("change.replace", one, ["index", "address"]);
        return { index: one.index, address: await resolve("change.replace's address", one.address) };
      }),
    ),
  };
}

/** Asks the file's addresses, and then those that the newest answer names. */
export async function discover(cluster: Cluster, deadlineMs: number): Promise<Membership> {
  let addresses: Address[] = cluster.replicas;
  for (let epoch = -1; ; ) {
    const reports = await askAll(cluster, addresses, deadlineMs);
    const alive = reports.filter((report) => report?.lifeId !== undefined) as ReplicaReport[];
    const newest = alive.reduce<ReplicaReport | undefined>((best, one) => (best && best.epoch >= one.epoch ? best : one), undefined);
    if (newest === undefined || newest.epoch < epoch) {
      throw new SquallError(
        "MEMBERS_UNREACHABLE",
        `Nobody at ${addresses.map(formatAddress).join(", ")} belongs to a running cluster. Name an address of a present member in the cluster file.`,
      );
    }
    const members = newest.members.map(parseAddress);
    if (newest.epoch === epoch || sameAddresses(members, addresses)) {
      return {
        epoch: newest.epoch,
        lifeId: newest.lifeId as string,
        members: members.map((address, index) => ({ address, report: reports[index] })),
      };
    }
    epoch = newest.epoch;
    addresses = members;
  }
}

function sameAddresses(a: readonly Address[], b: readonly Address[]): boolean {
  return a.length === b.length && a.every((address, i) => formatAddress(address) === formatAddress(b[i] as Address));
}

function parseAddress(text: string): Address {
  const at = text.lastIndexOf(":");
  return { ip: text.slice(0, at).replace(/^\[|\]$/g, ""), port: Number(text.slice(at + 1)) };
}

/** The next members: those that stay keep their order and, as far as nobody leaves, their indices. */
function applyChange({ members }: Membership, { add = [], remove = [], replace = [] }: MembershipChange): Member[] {
  const fail = (problem: string): never => {
    throw new SquallError("MEMBERS_INVALID", problem);
  };
  const index = (value: unknown): number =>
    Number.isInteger(value) && (value as number) >= 0 && (value as number) < members.length
      ? (value as number)
      : fail(`There is no member ${describeValue(value)}; the members are 0 to ${members.length - 1}.`);
  if (add.length + remove.length + replace.length === 0) fail("The change adds, removes and replaces nobody.");
  const gone = new Set(remove.map(index));
  const replaced = new Map(replace.map((one) => [index(one.index), one.address]));
  for (const one of gone) if (replaced.has(one)) fail(`Member ${one} can't be both removed and replaced.`);
  const next: Member[] = members.flatMap(({ address }, i): Member[] => {
    const other = replaced.get(i);
    if (gone.has(i)) return [];
    return other === undefined ? [{ address, from: i }] : [{ address: other }];
  });
  next.push(...add.map((address) => ({ address })));
  const texts = next.map(({ address }) => formatAddress(address));
  const twice = texts.find((text, i) => texts.indexOf(text) !== i);
  if (twice !== undefined) fail(`${twice} would be a member twice.`);
  const known = new Set(members.map(({ address }) => formatAddress(address)));
  const again = next.find(({ address, from }) => from === undefined && known.has(formatAddress(address)));
  if (again) fail(`${formatAddress(again.address)} is a member's address: a blank replica needs one of its own.`);
  if (next.length === 0 || next.length > MaxMembers || next.length % 2 === 0) {
    fail(
      `The cluster would have ${next.length} members; it needs an odd number from 1 to ${MaxMembers}, since an even one withstands no more failures than one less. Add or remove two at once, or replace one.`,
    );
  }
  const staying = members.length - gone.size - replaced.size;
  if (2 * staying <= members.length) {
    fail(
      `Only ${staying} of ${members.length} members would stay. A majority must, since any minority may fail meanwhile; change the others in steps.`,
    );
  }
  return next;
}

/** Those that join must be there, blank, and configured like the others. */
async function withBootIds(cluster: Cluster, before: Membership, next: Member[], deadlineMs: number): Promise<Configuration> {
  const joining = next.filter(({ from }) => from === undefined).map(({ address }) => address as Address);
  const reports = await askAll(cluster, joining, deadlineMs);
  const bootIds = new Map<string, string>();
  joining.forEach((address, i) => {
    const report = reports[i];
    const name = formatAddress(address);
    if (report === undefined) {
      throw new SquallError("MEMBERS_UNREACHABLE", `No replica answers at ${name}. Start it there: squall replica --join ${name}.`);
    }
    if (report.lifeId !== undefined || report.status !== "recovery") {
      throw new SquallError("MEMBERS_NOT_BLANK", `The replica at ${name} has a life already. Only a blank one, newly started, can join.`);
    }
    if (report.limitsDigest !== Buffer.from(limitsDigest(cluster)).toString("hex")) {
      throw new SquallError("MEMBERS_CONFIG", `The replica at ${name} has another configuration (design, mode, sealing or limits).`);
    }
    bootIds.set(name, report.bootId);
  });
  const members = next.map((member): Member => {
    const bootId = bootIds.get(formatAddress(member.address));
    return member.from === undefined && bootId !== undefined ? { address: member.address, bootId } : member;
  });
  const up = members.filter(({ from }) => from === undefined || takesPart(before.members[from]?.report)).length;
  if (2 * up <= members.length) {
    throw new SquallError(
      "MEMBERS_UNREACHABLE",
      `Only ${up} of the ${members.length} next members are up and have their memory: fewer than a majority could not go on. Start the others, or replace them first.`,
    );
  }
  const staying = new Set(next.flatMap(({ from }) => (from === undefined ? [] : [from])));
  const leaving = before.members.filter((_, i) => !staying.has(i)).map(({ address }) => address);
  return { epoch: before.epoch + 1, members, leaving };
}

/** Whether it has its memory. */
export function takesPart(report: ReplicaReport | undefined): boolean {
  return report?.status === "normal" || report?.status === "reconciliation";
}

/** The report of whoever listens at each address; undefined for those that did not answer. */
export async function askAll(cluster: Cluster, addresses: Address[], deadlineMs: number): Promise<(ReplicaReport | undefined)[]> {
  const answers: (ReplicaReport | undefined)[] = addresses.map(() => undefined);
  if (addresses.length === 0) return answers;
  await Promise.all(
    addresses.map(async (address, i) => {
      const tool = openTool({ ...cluster, replicas: [address] }, "client", (type, _from, body) => {
        if (type === MessageType.StatusReply) answers[i] = parseReport(body);
      });
      try {
        await tool.run(deadlineMs, (due) => {
          if (due) tool.ask(0, MessageType.StatusRequest, Uint8Array.of(0));
          return answers[i] !== undefined;
        });
      } finally {
        tool.close();
      }
    }),
  );
  return answers;
}

/** Tells all members what is wanted; the reason of one that refuses. */
async function ask(cluster: Cluster, addresses: Address[], request: Uint8Array, deadlineMs: number): Promise<string | undefined> {
  let refusal: string | undefined;
  let accepted = 0;
  const tool = openTool({ ...cluster, replicas: addresses }, "operator", (type, _from, body) => {
    if (type !== MessageType.ReconfigureAnswer) return;
    const answer = JSON.parse(Buffer.from(body).toString("utf8")) as { state: string; reason?: string };
    if (answer.state === "refused") refusal ??= answer.reason;
    else accepted++;
  });
  try {
    await tool.run(deadlineMs, (due) => {
      for (let i = 0; due && i < addresses.length; i++) tool.ask(i, MessageType.Reconfigure, request);
      return refusal !== undefined;
    });
  } finally {
    tool.close();
  }
  // A member that recovers, or is of another epoch, does not speak for those that take part.
  return accepted > 0 && (refusal === "recovering" || refusal === "other-epoch") ? undefined : refusal;
}

function refused(reason: string, cluster: Cluster): SquallError {
  const texts: Record<string, string> = {
    "another-pending": "Another change of the members is under way: wait for it.",
    "no-snapshots": "The machine has no snapshot and restore upcalls (or limits.checkpointEvery is 0): nobody could take over its state.",
    "too-few-stay": "A majority of the present members must stay.",
    "too-large": `The configuration is larger than an operation may be (limits.operationBytes: ${cluster.limits.operationBytes}).`,
    recovering: "The members recover: wait until a majority of them takes part.",
    "other-epoch": "The members have changed meanwhile: look at `squall members list` and try again.",
  };
  const code: ErrorCode = "MEMBERS_REFUSED";
  return new SquallError(code, texts[reason] ?? `A member refuses the change (${reason}).`);
}
