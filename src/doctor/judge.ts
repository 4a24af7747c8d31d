/** From what the members answered to what is wrong and how to mend it. Pure. */
import type { Cluster } from "../config-types.js";
import { superquorum, tolerated } from "../control/quorums.js";
import { type ReplicaReport, standstill } from "../status.js";
import { type DoctorCheck, fail, ok, warn } from "./checks.js";
import { FrameOverheadBytes, type MemberEvidence } from "./probe.js";

/** What a replica's socket asks for: native/fabric/fabric.h. */
const WantedReceiveBufferBytes = 4 << 20;
const BlankRemedy = "Run `squall bootstrap` once all replicas are up.";
/** IPv6 and UDP headers; IPv4's are shorter. */
const HeaderBytes = 48;
/** Of the room above which operations are refused: docs/limits.md. */
const NearlyFull = 0.8;

export interface Member {
  id: number;
  /** As the cluster file names it, resolved. */
  address: string;
  evidence: MemberEvidence;
}

/** What this machine knows about its way to a member; undefined where the system does not tell. */
export interface LocalFacts {
  mtu: { name: string; mtu: number } | undefined;
  /** Of a member that runs on this machine. */
  lostDatagrams: number | undefined;
}

export function judgeMember(
  cluster: Cluster,
  member: Member,
  facts: LocalFacts,
  own: { version: string; configDigest: string },
): DoctorCheck[] {
  const checks = [judgeAnswer(member)];
  const { report } = member.evidence;
  if (member.evidence.welcome === undefined) return checks;
  if (report === undefined) {
    return [
      ...checks,
      fail(
        "state",
        member.id,
        "It greets, but does not report.",
        "Its machine may be stuck in an upcall, or it runs another version: see its output.",
      ),
    ];
  }
  return [
    ...checks,
    judgeVersion(report, own.version),
    judgeConfiguration(report, own.configDigest),
    judgeState(report),
    ...judgeDatagrams(cluster, member, facts),
    judgeBuffers(member.id, report, facts),
    judgeLoop(cluster, report),
    judgeLog(cluster, report),
  ];
}

function judgeAnswer({ id, address, evidence: { welcome, reject } }: Member): DoctorCheck {
  if (welcome !== undefined) return ok("answer", id, `${address} answers, and accepts the key.`);
  switch (reject) {
    case "key":
      return fail(
        "answer",
        id,
        `${address} does not accept the key: it has another secret, or this file's secret was changed.`,
        "Give all members and this machine the same secret file, or the client a key issued from it; restart what had the wrong one.",
      );
    case "cluster":
      return fail(
        "answer",
        id,
        `${address} is a replica of another cluster.`,
        'Correct "cluster" or the address in the cluster file; two clusters on one machine need different ports.',
      );
    case "version":
      return fail("answer", id, `${address} speaks another version of the protocol.`, "Install the same version of squall here and there.");
    default:
      return fail(
        "answer",
        id,
        `Nobody answers at ${address}.`,
        "Is the replica running there? Does a firewall let UDP through to this port, and back?",
      );
  }
}

function judgeVersion({ id, version }: ReplicaReport, own: string): DoctorCheck {
  if (version === own) return ok("version", id, `It runs version ${version}.`);
  return warn(
    "version",
    id,
    `It runs version ${version ?? "unknown"}; this is ${own}.`,
    "Different versions are for the time of a rolling restart: bring all to one.",
  );
}

function judgeConfiguration({ id, configDigest }: ReplicaReport, own: string): DoctorCheck {
  if (configDigest === own) return ok("configuration", id, "It has the same cluster file in all that must be alike.");
  return fail(
    "configuration",
    id,
    "Its cluster file differs from this one: ports, design, sealing, mode or limits.",
    "Copy one cluster file to all members and restart those that had another.",
  );
}

function judgeState(report: ReplicaReport): DoctorCheck {
  const { id, status, broken, halted, failure, lifeId, reason, view } = report;
  const because = reason === "" ? "" : ` (${reason})`;
  if (broken !== undefined) {
    return fail(
      "state",
      id,
      `It stopped for good: ${broken}`,
      "Keep its output and report it; restart it, so that it recovers from its peers.",
    );
  }
  if (halted && failure !== undefined) {
    return fail(
      "state",
      id,
      `Its machine stands still: ${failure.upcall} at ${failure.seqno}: ${failure.message}`,
      "The machine failed here and not at all others: correct it (`squall check` finds most causes) and restart this replica.",
    );
  }
  if (status === "recovery" && lifeId === undefined) return warn("state", id, "It is blank, and waits in RECOVERY.", BlankRemedy);
  if (status === "recovery") {
    return warn(
      "state",
      id,
      `It is in RECOVERY${because}: it does not serve yet.`,
      "Wait; if it stays so, see whether a majority of the others is normal.",
    );
  }
  if (status === "reconciliation") {
    return warn("state", id, `It reconciles${because}.`, "Normal for some milliseconds; if it stays so, too few members hear each other.");
  }
  if (status !== "normal") return fail("state", id, `It is ${status}.`, "Start it again.");
  return ok("state", id, `It is normal in view ${view}, ${report.mode} mode.`);
}

function judgeDatagrams(cluster: Cluster, { id, evidence }: Member, { mtu }: LocalFacts): DoctorCheck[] {
  const { datagrams } = evidence;
  const wanted = cluster.datagramBytes;
  if (datagrams === undefined) return [];
  const through = Math.min(datagrams.there, datagrams.back);
  if (through < wanted) {
    const direction = datagrams.there >= wanted ? "back" : datagrams.back >= wanted ? "there" : "there or back";
    const remedy =
      through > FrameOverheadBytes
        ? `Set "datagramBytes" to ${through} in every cluster file, or raise the MTU between the machines.`
        : "Even small datagrams get lost: look at the network between the machines.";
    return [fail("datagram", id, `Datagrams of ${wanted} bytes do not get ${direction}.`, remedy)];
  }
  if (mtu !== undefined && wanted + HeaderBytes > mtu.mtu) {
    return [
      warn(
        "datagram",
        id,
        `Datagrams of ${wanted} bytes come through, but in pieces: the MTU of ${mtu.name} is ${mtu.mtu}.`,
        `Set "datagramBytes" to ${mtu.mtu - HeaderBytes} or less in every cluster file: one lost piece loses the datagram.`,
      ),
    ];
  }
  return [ok("datagram", id, `Datagrams of ${wanted} bytes come through both ways.`)];
}

function judgeBuffers(id: number, { network }: ReplicaReport, { lostDatagrams }: LocalFacts): DoctorCheck {
  const granted = network.receiveBufferBytes ?? 0;
  const remedy = `On its machine: sysctl -w net.core.rmem_max=${WantedReceiveBufferBytes} (and in /etc/sysctl.d), or give the process CAP_NET_ADMIN; restart it.`;
  if (lostDatagrams !== undefined && lostDatagrams > 0) {
    return warn(
      "buffers",
      id,
      `Its receive buffer (${kib(granted)}) was full: ${lostDatagrams} datagrams were lost since it started.`,
      remedy,
    );
  }
  if (granted < WantedReceiveBufferBytes) {
    return warn(
      "buffers",
      id,
      `The system granted a receive buffer of ${kib(granted)}; bursts may be lost. Wanted: ${kib(WantedReceiveBufferBytes)}.`,
      remedy,
    );
  }
  return ok("buffers", id, `Its receive buffer has ${kib(granted)}.`);
}

function judgeLoop(cluster: Cluster, { id, counters }: ReplicaReport): DoctorCheck {
  const delayMs = counters.loopDelayUs / 1000;
  const text = `Its last timer came ${delayMs.toFixed(1)} ms late.`;
  if (delayMs < cluster.timing.detectMs / 2) return ok("loop", id, text);
  return warn(
    "loop",
    id,
    `${text} Others take a replica for dead after ${cluster.timing.detectMs} ms.`,
    'Run it in a Worker (the default), shorten its upcalls, give it a core of its own, or raise "timing.detectMs".',
  );
}

function judgeLog(cluster: Cluster, { id, speculative, logBase, counters }: ReplicaReport): DoctorCheck {
  const { logEntries, logBytes } = cluster.limits;
  const share = Math.max((speculative - logBase) / ((logEntries * 7) / 8), counters.logBytes / (logBytes / 2));
  const text = `Its log is ${Math.round(share * 100)}% full.`;
  if (share < NearlyFull && counters.refused === 0) return ok("log", id, text);
  return warn(
    "log",
    id,
    counters.refused === 0 ? text : `${text} It refused ${counters.refused} requests.`,
    "Give the machine snapshot and restore, so that the log is cut at checkpoints; or raise limits.logEntries and limits.logBytes.",
  );
}

/** What only a look at several members shows. */
export function judgeGroup(cluster: Cluster, members: readonly Member[]): DoctorCheck[] {
  const reports = members.map(({ evidence }) => evidence.report).filter((report) => report !== undefined);
  if (reports.length === 0) return [];
  const begun = reports.some(({ lifeId }) => lifeId !== undefined);
  return [
    ...judgeLives(members),
    ...(begun ? [judgeQuorum(cluster, reports)] : []),
    ...judgePeers(members, reports),
    ...judgeClocks(cluster, members),
  ];
}

function judgeLives(members: readonly Member[]): DoctorCheck[] {
  const lives = new Map<string, number[]>();
  const blank: number[] = [];
  for (const { id, evidence } of members) {
    if (evidence.welcome === undefined) continue;
    const { lifeId } = evidence.welcome;
    if (lifeId === undefined) blank.push(id);
    else lives.set(lifeId, [...(lives.get(lifeId) ?? []), id]);
  }
  if (lives.size > 1) {
    const which = [...lives].map(([life, ids]) => `replica ${ids.join(", ")}: ${life}`).join("; ");
    return [
      fail(
        "life",
        undefined,
        `The members live different lives: ${which}.`,
        "Stop those of the wrong life; started again, they recover into the other one.",
      ),
    ];
  }
  if (lives.size === 0) return [warn("life", undefined, "The cluster has not been bootstrapped.", BlankRemedy)];
  const [life] = lives.keys();
  if (blank.length === 0) return [ok("life", undefined, `All members that answer live life ${life}.`)];
  return [
    warn(
      "life",
      undefined,
      `Replica ${blank.join(", ")} is blank, the others live life ${life}.`,
      "It was restarted without its memory and recovers from the others; if it stays so, see whether a majority of them is normal.",
    ),
  ];
}

function judgeQuorum(cluster: Cluster, reports: readonly ReplicaReport[]): DoctorCheck {
  const n = cluster.replicas.length;
  const majority = tolerated(n) + 1;
  const serving = reports.filter((report) => report.status === "normal" && !report.halted && report.broken === undefined).length;
  const text = `${serving} of ${n} replicas serve.`;
  if (serving === n) return ok("quorum", undefined, text);
  const byId = Array.from({ length: n }, (_, id) => reports.find((report) => report.id === id));
  const stopped = standstill(byId);
  const remedy = `Mend the replicas named above.${stopped === undefined ? "" : ` ${stopped[0]?.toUpperCase()}${stopped.slice(1)}.`}`;
  const spare = serving - majority;
  if (spare < 0) return fail("quorum", undefined, `${text} No operation completes: ${majority} are needed.`, remedy);
  const speed = serving < superquorum(n) ? ` In one round trip they would with ${superquorum(n)}.` : "";
  return warn(
    "quorum",
    undefined,
    `${text} Operations complete; ${spare === 0 ? "no further replica" : `${spare} more`} may fail.${speed}`,
    remedy,
  );
}

/** Who does not hear whom; that nobody hears a replica which does not answer here either is no news. */
function judgePeers(members: readonly Member[], reports: readonly ReplicaReport[]): DoctorCheck[] {
  const here = new Set(reports.map(({ id }) => id));
  return members.flatMap(({ id, evidence: { report } }) => {
    if (report === undefined) return [];
    const unheard = report.silent.filter((peer) => here.has(peer));
    if (unheard.length === 0) return [ok("peers", id, "It hears every member that answers.")];
    return [
      fail(
        "peers",
        id,
        `It does not hear replica ${unheard.join(", ")}, which answers here.`,
        "UDP must get through between all members, both ways: look at firewalls and routes between the two machines.",
      ),
    ];
  });
}

function judgeClocks(cluster: Cluster, members: readonly Member[]): DoctorCheck[] {
  const allowedMs = cluster.limits.clockSkewMs;
  return members.flatMap(({ id, evidence: { clock } }) => {
    if (clock === undefined) return [];
    const offsetMs = Math.abs(clock.offsetMs);
    const text = `Its clock is ${offsetMs.toFixed(0)} ms ${clock.offsetMs < 0 ? "behind" : "ahead of"} this machine's, give or take ${clock.errorMs.toFixed(0)} ms.`;
    const remedy = "Run NTP (chrony, systemd-timesyncd) on all machines, replicas and clients.";
    const certainMs = offsetMs - clock.errorMs;
    if (certainMs > allowedMs) {
      return [fail("clock", id, `${text} It drops requests stamped more than ${allowedMs} ms ahead of its clock.`, remedy)];
    }
    return [certainMs > allowedMs / 2 ? warn("clock", id, text, remedy) : ok("clock", id, text)];
  });
}

/** Whether a member may have left the multicast group for a while: it is in RECOVERY and has a life to fetch. */
export function mayBeDeaf({ evidence: { report } }: Member): boolean {
  return report?.status === "recovery" && report.lifeId !== undefined;
}

/** Whether the way that requests go, by the multicast group or the relay, leads to the members `ids`; of those, `deaf` need not listen now. */
export function judgeTarget(
  cluster: Cluster,
  ids: readonly number[],
  reached: ReadonlySet<number>,
  deaf: ReadonlySet<number> = new Set(),
): DoctorCheck[] {
  const { network } = cluster;
  if (network.design === "unicast") return [];
  // A relay that sends to each replica by itself reaches those that recover, too.
  const leaves = network.design === "multicast" || network.multicast !== undefined;
  const untold = ids.filter((id) => leaves && deaf.has(id) && !reached.has(id));
  const listening = ids.filter((id) => !untold.includes(id));
  return [
    ...(listening.length > 0 ? judgeListening(cluster, listening, reached) : []),
    ...untold.map((id) =>
      warn(
        network.design === "multicast" ? "multicast" : "relay",
        id,
        "It recovers, and does not listen to requests before it has about all that is committed.",
        "Run this again when it is NORMAL.",
      ),
    ),
  ];
}

function judgeListening(cluster: Cluster, ids: readonly number[], reached: ReadonlySet<number>): DoctorCheck[] {
  const { network } = cluster;
  if (network.design === "unicast") return [];
  const missed = ids.filter((id) => !reached.has(id));
  if (network.design === "serialized") {
    const relay = `The relay at ${network.relay.ip} port ${network.relay.port}`;
    if (missed.length === ids.length) {
      return [
        fail(
          "relay",
          undefined,
          `${relay} forwards nothing.`,
          "Start it (`squall relay`) where the cluster file says; let UDP through to it.",
        ),
      ];
    }
    return ids.map((id) =>
      reached.has(id)
        ? ok("relay", id, `${relay} reaches it.`)
        : fail("relay", id, `${relay} does not reach it.`, "Does the relay have this cluster file, and does a firewall let it through?"),
    );
  }
  const group = `The multicast group ${network.group} port ${network.port}`;
  if (missed.length === ids.length) {
    return [
      fail(
        "multicast",
        undefined,
        `${group} reaches nobody from here${network.interface === undefined ? "" : ` by ${network.interface}`}.`,
        'Name the right "network.multicast.interface"; switch on IGMP snooping with a querier, or snooping off; or use the design "unicast" or "serialized".',
      ),
    ];
  }
  return ids.map((id) =>
    reached.has(id)
      ? ok("multicast", id, `${group} reaches it.`)
      : fail(
          "multicast",
          id,
          `${group} does not reach it from here.`,
          'Is it on the same network segment, with the right "network.multicast.interface"? Does its firewall let the group through?',
        ),
  );
}

function kib(bytes: number): string {
  return `${Math.round(bytes / 1024)} KiB`;
}
