/** The fault timeline of a run, drawn from the seed: what begins and ends when. All of it ends with the chaos phase. */
import type { LoopPath, NativeLoopHub } from "../data/binding.js";
import { cleanPath, type Ports, pathKey } from "./paths.js";
import type { Prng } from "./prng.js";
import type { DrawnFaults, FaultProfile } from "./profiles.js";

export interface FaultEvent {
  atUs: number;
  /** For the readable trace. */
  what: string;
  apply(hub: NativeLoopHub): void;
}

export type EpisodeKind =
  | "partition"
  | "rollingPartition"
  | "isolation"
  | "asymmetricPartition"
  | "pause"
  | "slowPath"
  | "lossyPath"
  | "crash"
  | "powerLoss"
  | "diskFault"
  | "machineFault"
  | "membersChange";

export interface Schedule {
  events: FaultEvent[];
  counts: Record<EpisodeKind | "clockSkew", number>;
}

/** What a schedule is drawn from; all times in virtual microseconds. */
export interface ScheduleOptions {
  prng: Prng;
  profile: FaultProfile;
  faults: DrawnFaults;
  ports: Ports;
  /** The undisturbed paths, by pathKey. */
  paths: Map<number, LoopPath>;
  startUs: number;
  chaosUs: number;
  crashes: Crashes;
  /** Begins to change the members: to what is drawn when the time has come. */
  changeMembers(): void;
}

/** Kills and restarts replicas, never more than f at a time. */
export interface Crashes {
  /** Now, or (`within`) in the middle of the replica's next install or commit. */
  kill(replica: number, within: boolean): void;
  restart(replica: number): void;
  /** The power fails, at these replicas at once. */
  losePower(replicas: readonly number[]): void;
  /** Something goes wrong with this replica's disk. */
  failDisk(replica: number, fault: DiskFault): void;
  /** This replica's machine throws at its next operation. */
  failMachine(replica: number): void;
  /** The operator starts it again, if it is still halted for that. */
  replaceMachine(replica: number): void;
}

export const diskFaults = ["full", "failedSync", "failedWrite", "rot"] as const;
export type DiskFault = (typeof diskFaults)[number];

/** Draws the clocks and the episodes of [startUs, startUs + chaosUs). */
export function drawSchedule(options: ScheduleOptions): Schedule {
  return new ScheduleDrawer(options).draw();
}

class ScheduleDrawer {
  private readonly events: FaultEvent[] = [];
  private readonly counts: Schedule["counts"] = {
    partition: 0,
    rollingPartition: 0,
    isolation: 0,
    asymmetricPartition: 0,
    pause: 0,
    slowPath: 0,
    lossyPath: 0,
    crash: 0,
    powerLoss: 0,
    diskFault: 0,
    machineFault: 0,
    membersChange: 0,
    clockSkew: 0,
  };
  private readonly network = new Blocks();
  private readonly all: number[];
  private readonly endUs: number;

  constructor(private readonly options: ScheduleOptions) {
    this.all = [...options.ports.replicas, ...options.ports.clients];
    this.endUs = options.startUs + options.chaosUs;
  }

  draw(): Schedule {
    const { prng, profile, faults, startUs, chaosUs } = this.options;
    this.clocks();
    const kinds: Exclude<EpisodeKind, "membersChange" | "machineFault">[] = [];
    if (faults.partitions) kinds.push("partition", "rollingPartition", "isolation");
    if (faults.asymmetricPartitions) kinds.push("asymmetricPartition", "asymmetricPartition");
    if (faults.pauses) kinds.push("pause");
    if (faults.slowPaths) kinds.push("slowPath", "slowPath");
    if (faults.lossyPaths) kinds.push("lossyPath");
    for (let i = 0; i < faults.crashes; i++) kinds.push("crash");
    for (let i = 0; i < faults.powerLosses; i++) kinds.push("powerLoss");
    for (let i = 0; i < faults.diskFaults; i++) kinds.push("diskFault");
    for (let episode = 0; episode < faults.episodes && kinds.length > 0; episode++) {
      const kind = prng.pick(kinds);
      const fromUs = startUs + prng.below(chaosUs);
      const untilUs = Math.min(this.endUs, fromUs + prng.spread(Math.max(1, profile.episodeUs[0]), Math.max(1, profile.episodeUs[1])));
      this.counts[kind]++;
      this[kind](fromUs, untilUs);
    }
    for (let change = 0; change < faults.changes; change++) this.membersChange(startUs + prng.below(chaosUs));
    for (let fault = 0; fault < faults.machineFaults; fault++) this.machineFault(prng.split(`machine ${fault}`));
    // Stable: what was drawn first comes first at equal times.
    this.events.sort((a, b) => a.atUs - b.atUs);
    return { events: this.events, counts: this.counts };
  }

  private clocks(): void {
    const { prng, faults, startUs, chaosUs } = this.options;
    if (faults.clockOffsetMs === 0 && faults.clockDriftPpm === 0) return;
    for (const port of this.all) {
      const offsetUs = prng.between(-faults.clockOffsetMs, faults.clockOffsetMs) * 1000;
      const driftPpm = prng.between(-faults.clockDriftPpm, faults.clockDriftPpm);
      const atUs = prng.chance(0.7) ? startUs : startUs + prng.below(chaosUs);
      this.at(atUs, `clock of port ${port} off by ${offsetUs} us, ${driftPpm} ppm`, (hub) => hub.setClock(port, offsetUs, driftPpm));
      this.counts.clockSkew++;
    }
  }

  /** Two sides of replicas and clients. */
  partition(fromUs: number, untilUs: number): void {
    const side = new Set(this.all.filter(() => this.options.prng.chance(0.5)));
    const inside = this.all.filter((port) => side.has(port));
    const outside = this.all.filter((port) => !side.has(port));
    this.block(fromUs, untilUs, inside, outside, true);
  }

  /**
   * One grouping of the replicas after the other, clients reaching all of them: quorums that overlap as little as they may, each
   * with members that missed what the one before decided.
   */
  rollingPartition(fromUs: number): void {
    const { prng, ports, profile } = this.options;
    let beginUs = fromUs;
    for (let step = prng.between(2, 6); step > 0 && beginUs < this.endUs; step--) {
      const longestUs = Math.max(profile.episodeUs[0] + 1, profile.episodeUs[1] / 2);
      const stopUs = Math.min(this.endUs, beginUs + prng.spread(profile.episodeUs[0], longestUs));
      const groups = prng.pick([2, 2, 2, ports.replicas.length]);
      const groupOf = ports.replicas.map(() => prng.below(groups));
      for (const [index, port] of ports.replicas.entries()) {
        const others = ports.replicas.filter((_, other) => other > index && groupOf[other] !== groupOf[index]);
        if (others.length > 0) this.block(beginUs, stopUs, [port], others, true);
      }
      beginUs = stopUs;
    }
  }

  isolation(fromUs: number, untilUs: number): void {
    const { prng, ports } = this.options;
    const replica = prng.pick(ports.replicas);
    // Half of the time its clients still reach it: it goes on answering in a view that is past.
    const others = (prng.chance(0.5) ? ports.replicas : this.all).filter((port) => port !== replica);
    // Now and then it is as good as dead: what the others need is a quorum without it.
    this.block(fromUs, prng.chance(0.15) ? this.endUs : untilUs, [replica], others, true);
  }

  /** One direction only. */
  asymmetricPartition(fromUs: number, untilUs: number): void {
    const { prng } = this.options;
    const from = prng.pick(this.all);
    const to = prng.shuffle(this.all.filter((port) => port !== from)).slice(0, prng.between(1, this.all.length - 1));
    const outward = prng.chance(0.5);
    this.block(fromUs, untilUs, outward ? [from] : to, outward ? to : [from], false);
  }

  pause(fromUs: number, untilUs: number): void {
    const { prng, ports } = this.options;
    const port = prng.chance(0.8) ? prng.pick(ports.replicas) : prng.pick(this.all);
    this.at(fromUs, `pause port ${port} until ${untilUs}`, (hub) => hub.pause(port, untilUs));
  }

  crash(fromUs: number, untilUs: number): void {
    const { prng, ports, crashes } = this.options;
    const replica = prng.below(ports.replicas.length);
    const within = prng.chance(0.6);
    this.at(fromUs, `kill replica ${replica}${within ? " at its next install or commit" : ""}`, () => crashes.kill(replica, within));
    this.at(untilUs, `restart replica ${replica}`, () => crashes.restart(replica));
  }

  /** Half of the time of all replicas; each starts again at a time of its own. */
  powerLoss(fromUs: number, untilUs: number): void {
    const { prng, ports, crashes } = this.options;
    const all = ports.replicas.map((_, replica) => replica);
    const replicas = prng.chance(0.5) ? all : prng.shuffle(all).slice(0, prng.between(1, all.length));
    this.at(fromUs, `power fails at replicas ${replicas.join(", ")}`, () => crashes.losePower(replicas));
    for (const replica of replicas) {
      const atUs = fromUs + 1 + prng.below(Math.max(1, untilUs - fromUs));
      this.at(Math.min(atUs, this.endUs), `restart replica ${replica}`, () => crashes.restart(replica));
    }
  }

  /** The first f replicas have the bad disks. */
  diskFault(fromUs: number, untilUs: number): void {
    const { prng, ports, crashes } = this.options;
    const replica = prng.below(Math.max(1, Math.floor(ports.replicas.length / 2)));
    const fault = prng.pick(diskFaults);
    this.at(fromUs, `disk of replica ${replica}: ${fault}`, () => crashes.failDisk(replica, fault));
    this.at(untilUs, `disk of replica ${replica} is well, restart`, () => crashes.restart(replica));
  }

  /** Half of the time it is left as it is until the faults end. */
  machineFault(prng: Prng): void {
    const { ports, crashes, startUs, chaosUs } = this.options;
    const replica = prng.below(ports.replicas.length);
    const atUs = startUs + prng.below(chaosUs);
    this.counts.machineFault++;
    this.at(atUs, `the machine of replica ${replica} throws next`, () => crashes.failMachine(replica));
    if (prng.chance(0.5)) return;
    this.at(prng.between(atUs, this.endUs), `restart replica ${replica} if it is halted`, () => crashes.replaceMachine(replica));
  }

  membersChange(atUs: number): void {
    this.counts.membersChange++;
    this.at(atUs, "the operator changes the members", () => this.options.changeMembers());
  }

  slowPath(fromUs: number, untilUs: number): void {
    const { prng, profile } = this.options;
    const baseDelayUs = prng.spread(Math.max(1, profile.slowDelayUs[0]), Math.max(1, profile.slowDelayUs[1]));
    this.changePath(fromUs, untilUs, "slow path", { baseDelayUs });
  }

  lossyPath(fromUs: number, untilUs: number): void {
    this.changePath(fromUs, untilUs, "lossy path", { lossPpm: this.options.prng.pick([100_000, 300_000, 700_000]) });
  }

  private changePath(fromUs: number, untilUs: number, name: string, change: Partial<LoopPath>): void {
    const { prng, ports, paths } = this.options;
    const from = prng.pick(this.all);
    const to = prng.pick(ports.replicas.includes(from) ? this.all.filter((port) => port !== from) : ports.replicas);
    const usual = paths.get(pathKey(from, to)) ?? cleanPath;
    this.at(fromUs, `${name} ${from} to ${to}: ${JSON.stringify(change)}`, (hub) =>
      this.network.setPath(hub, from, to, { ...usual, ...change }),
    );
    this.at(untilUs, `${name} ${from} to ${to} ends`, (hub) => this.network.setPath(hub, from, to, usual));
  }

  private block(fromUs: number, untilUs: number, from: number[], to: number[], bothWays: boolean): void {
    const pairs: [number, number][] = [];
    for (const a of from) {
      for (const b of to) {
        if (a === b) continue;
        pairs.push([a, b]);
        if (bothWays) pairs.push([b, a]);
      }
    }
    const change = (hub: NativeLoopHub, by: 1 | -1) => {
      for (const [a, b] of pairs) this.network.block(hub, a, b, by);
    };
    const name = `${from.join(",")} ${bothWays ? "and" : "to"} ${to.join(",")}`;
    this.at(fromUs, `block ${name}`, (hub) => change(hub, 1));
    this.at(untilUs, `unblock ${name}`, (hub) => change(hub, -1));
  }

  private at(atUs: number, what: string, apply: (hub: NativeLoopHub) => void): void {
    this.events.push({ atUs, what, apply });
  }
}

/** Overlapping partitions: a path is open again when the last of them ends, whatever else changed about it. */
class Blocks {
  private readonly counts = new Map<number, number>();

  block(hub: NativeLoopHub, from: number, to: number, by: 1 | -1): void {
    const key = pathKey(from, to);
    const count = (this.counts.get(key) ?? 0) + by;
    this.counts.set(key, count);
    if (count === (by === 1 ? 1 : 0)) hub.setBlocked(from, to, count > 0);
  }

  setPath(hub: NativeLoopHub, from: number, to: number, path: LoopPath): void {
    hub.setPath(from, to, path);
    hub.setBlocked(from, to, (this.counts.get(pathKey(from, to)) ?? 0) > 0);
  }
}
