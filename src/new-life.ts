/** After a disaster: more replicas than f have lost their memory, and an operator begins a new life with the best state that is left. */
import { setTimeout as sleep } from "node:timers/promises";
import { type ClusterSource, loadCluster } from "./config.js";
import type { Cluster } from "./config-types.js";
import { formatAddress, type Member } from "./control/membership.js";
import { encodeNewLife, type NewLifeMessage } from "./control/new-life.js";
import { MessageType } from "./data/binding.js";
import { newBootId } from "./data/boot.js";
import { openTool } from "./data/tool.js";
import { SquallError } from "./errors.js";
import { askAll, discover, type Membership, takesPart } from "./members.js";
import { checkInteger, checkOptions } from "./options.js";
import type { ReplicaReport } from "./status.js";

type Address = { ip: string; port: number };

export interface PlanNewLifeOptions {
  cluster: ClusterSource;
  /** Index of the replica whose state to go on with; "best" (default): the one that knows most. */
  from?: number | "best";
  /** Until answers are waited for; default 2,000 ms. */
  deadlineMs?: number;
}

export interface NewLifePlan {
  /** The life that ends, and the epoch with which the new one will begin. */
  formerLife: string;
  epoch: number;
  /** Index of the replica whose state is kept. */
  from: number;
  /** All up to here is committed in that state, and kept. */
  committed: number;
  /** Where its log ends: entries above `committed` are kept too, committed or not. */
  end: number;
  /** By index: what each holds, and what becomes of it. */
  replicas: {
    address: Address;
    report: ReplicaReport | undefined;
    /** `keeps`: its state is the one; `joins`: takes that state over; `absent`: does not answer, may recover later as a blank process. */
    role: "keeps" | "joins" | "absent";
  }[];
  /** What may be lost, one sentence each. */
  losses: string[];
}

export interface BeginNewLifeOptions {
  cluster: ClusterSource;
  plan: NewLifePlan;
  /** Until a majority must take part; default 30,000 ms. */
  deadlineMs?: number;
}

const RoundMs = 250;
const NobodysBootId = "0".repeat(32);

/**
 * Asks the replicas what they hold, and tells what a new life would begin with and what may be lost; changes nothing. Rejects with
 * NEW_LIFE_REFUSED when the group can go on by itself or too few replicas are there, MEMBERS_UNREACHABLE when nobody has a state, and
 * with what loadCluster rejects with.
 */
export async function planNewLife(options: PlanNewLifeOptions): Promise<NewLifePlan> {
  checkOptions("planNewLife", options, ["cluster", "from", "deadlineMs"]);
  const { from = "best" } = options;
  const deadlineMs = options.deadlineMs === undefined ? 2_000 : checkInteger("deadlineMs", options.deadlineMs, 1, 3_600_000);
  const cluster = await loadCluster(options.cluster, { role: "operator" });
  const membership = await discover(cluster, deadlineMs);
  return planFrom(membership, from === "best" ? from : checkInteger("from", from, 0, membership.members.length - 1));
}

/** Pure: the plan from what the replicas said. Throws NEW_LIFE_REFUSED. */
export function planFrom({ lifeId, epoch, members }: Membership, from: number | "best"): NewLifePlan {
  const n = members.length;
  const refuse = (why: string): never => {
    throw new SquallError("NEW_LIFE_REFUSED", why);
  };
  const holding = members.flatMap(({ report }, index) =>
    report !== undefined && report.lifeId === lifeId && report.epoch === epoch && takesPart(report) ? [{ index, report }] : [],
  );
  // Nobody has a memory: what the disks kept of it is all that is left, and committed.
  const remains = members.flatMap(({ report }, index) =>
    holding.length === 0 && report?.lifeId === lifeId && report.epoch === epoch && isRemnant(report) ? [{ index, report }] : [],
  );
  if (2 * holding.length > n)
    refuse(`${holding.length} of ${n} replicas have their memory: that is a majority, and the group goes on by itself.`);
  const candidates = [...holding, ...remains];
  const ranked = [...candidates].sort((a, b) => compareStates(b.report, a.report));
  const chosen = from === "best" ? ranked[0] : candidates.find(({ index }) => index === from);
  if (chosen === undefined) {
    return refuse(
      from === "best"
        ? "No replica that answers has its memory: there is no state to go on with."
        : `Replica ${from} has no state to go on with.`,
    );
  }
  const joins = members.filter(({ report }, index) => index !== chosen.index && report !== undefined && report.broken === undefined).length;
  if (2 * (joins + 1) <= n) {
    refuse(
      `Only ${joins + 1} of ${n} replicas answer, and a new life needs a majority. Start the others, blank, as after any restart: squall replica --id.`,
    );
  }
  const ahead = candidates.filter(({ report }) => report.committed > chosen.report.speculative);
  if (ahead.length > 0) {
    refuse(
      `Replica ${ahead.map(({ index }) => index).join(", ")} has committed more than replica ${chosen.index} holds. Choose it (--from best), or restart it blank if its state is not to be kept.`,
    );
  }
  const replicas = members.map(({ address, report }, index) => ({
    address,
    report,
    role: index === chosen.index ? ("keeps" as const) : report === undefined ? ("absent" as const) : ("joins" as const),
  }));
  const { committed, speculative: end } = chosen.report;
  return {
    formerLife: lifeId,
    epoch: epoch + 1,
    from: chosen.index,
    committed,
    end,
    replicas,
    losses: lossesOf(replicas, chosen, holding),
  };
}

/** Whether it lost its memory, and its disk kept a part. */
function isRemnant({ status, joining, committed }: ReplicaReport): boolean {
  return status === "recovery" && !joining && committed > 0;
}

/** By the last view a replica was NORMAL in, then what it knows to be committed, then its log. Of remnants the view does not count. */
function compareStates(a: ReplicaReport, b: ReplicaReport): number {
  if (isRemnant(a)) return a.committed - b.committed;
  return a.lastNormalView - b.lastNormalView || a.committed - b.committed || a.speculative - b.speculative;
}

function lossesOf(
  replicas: NewLifePlan["replicas"],
  chosen: { index: number; report: ReplicaReport },
  holding: { index: number; report: ReplicaReport }[],
): string[] {
  const { index: from, report } = chosen;
  const lost = replicas.flatMap((_, index) => (holding.some((one) => one.index === index) ? [] : [index]));
  const losses = [
    isRemnant(report)
      ? `No replica has its memory. Kept is what the disk of replica ${from} holds: ${report.committed} committed entries.`
      : `Kept is what replica ${from} holds: ${report.committed} committed entries, and ${report.speculative - report.committed} behind them of which it does not know whether they were committed.`,
    `Lost are operations that were acknowledged and that only replica ${lost.join(", ")} had: none of them is at or below seqno ${report.committed}.`,
  ];
  for (const { index, report: other } of holding) {
    if (index !== from && other.speculative > 0)
      losses.push(
        `Given up is what replica ${index} holds and replica ${from} does not: entries up to ${other.speculative} that are not committed.`,
      );
  }
  const absent = replicas.flatMap(({ role, address }, index) => (role === "absent" ? [`${index} (${formatAddress(address)})`] : []));
  if (absent.length > 0) {
    losses.push(
      `Replica ${absent.join(", ")} does not answer. Make sure that it is dead: a majority of the former life that is only cut off would go on beside the new one.`,
    );
  }
  return losses;
}

/**
 * Begins the new life as planned: the chosen replica with its state, the others take it over. Clients follow by themselves, in their sessions
 * where that state knows them, else with SESSION_EVICTED. Resolves once a majority takes part. Rejects with NEW_LIFE_REFUSED,
 * NEW_LIFE_INCOMPLETE at the deadline, and what loadCluster rejects with.
 */
export async function beginNewLife(options: BeginNewLifeOptions): Promise<{ lifeId: string; epoch: number; takePart: number }> {
  checkOptions("beginNewLife", options, ["cluster", "plan", "deadlineMs"]);
  const deadlineMs = options.deadlineMs === undefined ? 30_000 : checkInteger("deadlineMs", options.deadlineMs, 1, 3_600_000);
  const { plan } = options;
  const cluster = await loadCluster(options.cluster, { role: "operator" });
  const addresses = plan.replicas.map(({ address }) => address);
  const life = Buffer.from(newBootId()).toString("hex");
  const members = plan.replicas.map(({ address, report, role }, index): Member => {
    if (role === "keeps") return { address, from: index };
    return { address, bootId: role === "joins" && report !== undefined ? report.bootId : NobodysBootId };
  });
  const configuration = { epoch: plan.epoch, members, leaving: [] };
  const now = await askAll(cluster, addresses, Math.min(2_000, deadlineMs));
  let end: NewLifeMessage["end"];
  const orderOf = (index: number): NewLifeMessage => {
    const { bootId = NobodysBootId, uptimeMs = 0 } = now[index] ?? {};
    if (bootId !== plan.replicas[index]?.report?.bootId)
      throw new SquallError("NEW_LIFE_REFUSED", `Replica ${index} was restarted meanwhile, or does not answer any more: plan again.`);
    const order = { formerLife: plan.formerLife, life, configuration, bootId, untilUptimeMs: uptimeMs + deadlineMs };
    return end === undefined ? order : { ...order, end };
  };
  const endMs = performance.now() + deadlineMs;
  const leftMs = (): number => Math.max(1, Math.min(RoundMs, endMs - performance.now()));
  for (;;) {
    if (end === undefined) {
      end = await order(cluster, addresses[plan.from] as Address, orderOf(plan.from), leftMs());
    } else {
      for (const [index, { address, role, report }] of plan.replicas.entries())
        if (role === "joins" && takesPart(report)) await order(cluster, address, orderOf(index), leftMs());
    }
    const reports = end ? await askAll(cluster, addresses, leftMs()) : [];
    const takePart = reports.filter((report) => report?.lifeId === life && report.status === "normal" && !report.joining).length;
    const expected = plan.replicas.filter(({ role }) => role !== "absent").length;
    if (takePart === expected || (2 * takePart > addresses.length && performance.now() >= endMs))
      return { lifeId: life, epoch: plan.epoch, takePart };
    if (performance.now() >= endMs) {
      throw new SquallError(
        "NEW_LIFE_INCOMPLETE",
        end
          ? `Life ${life} has begun at replica ${plan.from}, but only ${takePart} of ${addresses.length} replicas take part in it so far. They join by themselves once they can be reached; see \`squall status\`.`
          : `Replica ${plan.from} did not begin the new life in ${deadlineMs} ms. Nothing has changed unless it did so since; look at \`squall status\`.`,
      );
    }
    await sleep(50);
  }
}

/** Gives the order to one replica; where the new life began, if it says so in time. Throws NEW_LIFE_REFUSED. */
async function order(
  cluster: Cluster,
  address: Address,
  message: NewLifeMessage,
  deadlineMs: number,
): Promise<{ seqno: number; hash: string } | undefined> {
  let refusal: string | undefined;
  let end: { seqno: number; hash: string } | undefined;
  const tool = openTool({ ...cluster, replicas: [address] }, "operator", (type, _from, body) => {
    if (type !== MessageType.ReconfigureAnswer) return;
    const answer = JSON.parse(Buffer.from(body).toString("utf8")) as { state: string; reason?: string; seqno: number; hash: string };
    if (answer.state === "refused") refusal = answer.reason;
    else if (answer.state === "done") end = { seqno: answer.seqno, hash: answer.hash };
  });
  try {
    const body = encodeNewLife(message);
    await tool.run(deadlineMs, (due) => {
      if (due) tool.ask(0, MessageType.NewLife, body);
      return refusal !== undefined || end !== undefined;
    });
  } finally {
    tool.close();
  }
  if (refusal !== undefined)
    throw new SquallError("NEW_LIFE_REFUSED", refusals[refusal] ?? `The replica at ${formatAddress(address)} refuses (${refusal}).`);
  return end;
}

const refusals: Record<string, string> = {
  "not-lost": "The replica hears a majority of the group: nothing is lost, and the group goes on by itself.",
  "no-snapshots": "The machine has no snapshot and restore upcalls (or limits.checkpointEvery is 0): nobody could take over its state.",
  "other-life": "The replica is in another life or a later epoch by now. Look at `squall status` and try again.",
  expired: "The replica was restarted meanwhile, or the order took too long. Try again.",
  recovering: "The replica has lost its memory meanwhile. Try again: another one is chosen.",
  ahead: "A replica has committed more than the one that was chosen. Try again with `--from best`, or restart that replica blank.",
};
