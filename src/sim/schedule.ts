/** The fault timeline of a run, drawn from the seed: what begins and ends when. All of it ends with the chaos phase. */
import type { LoopPath, NativeLoopHub } from "../data/binding.js";
import type { Prng } from "./prng.js";
import type { DrawnFaults, FaultProfile } from "./profiles.js";

/** The ports of a run on its hub. */
export interface Ports {
  replicas: number[];
  clients: number[];
}

export interface FaultEvent {
  atUs: number;
  /** For the readable trace. */
  what: string;
  apply(hub: NativeLoopHub): void;
}

export type EpisodeKind = "partition" | "isolation" | "asymmetricPartition" | "pause" | "slowPath" | "lossyPath";

export interface Schedule {
  events: FaultEvent[];
  counts: Record<EpisodeKind | "clockSkew", number>;
}

export const cleanPath: LoopPath = {
  baseDelayUs: 50,
  jitterUs: 5,
  lossPpm: 0,
  duplicatePpm: 0,
  reorderPpm: 0,
  reorderDelayUs: 0,
  corruptPpm: 0,
};

/** Each pair of ports gets delays of its own around the drawn ones. */
export function drawPath(faults: DrawnFaults, prng: Prng): LoopPath {
  return {
    baseDelayUs: Math.max(1, Math.round(faults.baseDelayUs * (0.5 + prng.unit()))),
    jitterUs: Math.round(faults.jitterUs * 2 * prng.unit()),
    lossPpm: Math.round(faults.lossPpm * 2 * prng.unit()),
    duplicatePpm: Math.round(faults.duplicatePpm * 2 * prng.unit()),
    reorderPpm: Math.round(faults.reorderPpm * 2 * prng.unit()),
    reorderDelayUs: faults.reorderDelayUs,
    corruptPpm: Math.round(faults.corruptPpm * 2 * prng.unit()),
  };
}

/** Draws the episodes of [startUs, startUs + chaosUs) and the clocks. `paths` holds the undisturbed paths by "from>to". */
export function drawSchedule(
  prng: Prng,
  profile: FaultProfile,
  faults: DrawnFaults,
  ports: Ports,
  paths: Map<number, LoopPath>,
  startUs: number,
  chaosUs: number,
): Schedule {
  const counts: Schedule["counts"] = {
    partition: 0,
    isolation: 0,
    asymmetricPartition: 0,
    pause: 0,
    slowPath: 0,
    lossyPath: 0,
    clockSkew: 0,
  };
  const events: FaultEvent[] = [];
  const endUs = startUs + chaosUs;
  const all = [...ports.replicas, ...ports.clients];
  const network = new Blocks();

  for (const port of all) {
    if (faults.clockOffsetMs === 0 && faults.clockDriftPpm === 0) break;
    const offsetUs = prng.between(-faults.clockOffsetMs, faults.clockOffsetMs) * 1000;
    const driftPpm = prng.between(-faults.clockDriftPpm, faults.clockDriftPpm);
    const atUs = prng.chance(0.7) ? startUs : startUs + prng.below(chaosUs);
    events.push({
      atUs,
      what: `clock of port ${port} off by ${offsetUs} us, ${driftPpm} ppm`,
      apply: (hub) => hub.setClock(port, offsetUs, driftPpm),
    });
    counts.clockSkew++;
  }

  const kinds: EpisodeKind[] = [];
  if (faults.partitions) kinds.push("partition", "isolation");
  if (faults.asymmetricPartitions) kinds.push("asymmetricPartition", "asymmetricPartition");
  if (faults.pauses) kinds.push("pause");
  if (faults.slowPaths) kinds.push("slowPath", "slowPath");
  if (faults.lossyPaths) kinds.push("lossyPath");
  for (let episode = 0; episode < faults.episodes && kinds.length > 0; episode++) {
    const kind = prng.pick(kinds);
    const fromUs = startUs + prng.below(chaosUs);
    const untilUs = Math.min(endUs, fromUs + prng.spread(Math.max(1, profile.episodeUs[0]), Math.max(1, profile.episodeUs[1])));
    counts[kind]++;
    switch (kind) {
      case "partition": {
        const side = new Set(all.filter(() => prng.chance(0.5)));
        block(
          fromUs,
          untilUs,
          all.filter((port) => side.has(port)),
          all.filter((port) => !side.has(port)),
          true,
        );
        break;
      }
      case "isolation": {
        const replica = prng.pick(ports.replicas);
        // Half of the time its clients still reach it: it goes on answering in a view that is past.
        const others = prng.chance(0.5) ? ports.replicas : all;
        block(
          fromUs,
          untilUs,
          [replica],
          others.filter((port) => port !== replica),
          true,
        );
        break;
      }
      case "asymmetricPartition": {
        const from = prng.pick(all);
        const to = prng.shuffle(all.filter((port) => port !== from)).slice(0, prng.between(1, all.length - 1));
        const outward = prng.chance(0.5);
        block(fromUs, untilUs, outward ? [from] : to, outward ? to : [from], false);
        break;
      }
      case "pause": {
        const port = prng.chance(0.8) ? prng.pick(ports.replicas) : prng.pick(all);
        events.push({ atUs: fromUs, what: `pause port ${port} until ${untilUs}`, apply: (hub) => hub.pause(port, untilUs) });
        break;
      }
      default: {
        const from = prng.pick(all);
        const to = prng.pick(ports.replicas.includes(from) ? all.filter((port) => port !== from) : ports.replicas);
        const key = pathKey(from, to);
        const usual = paths.get(key) ?? cleanPath;
        const changed: LoopPath =
          kind === "slowPath"
            ? { ...usual, baseDelayUs: prng.spread(Math.max(1, profile.slowDelayUs[0]), Math.max(1, profile.slowDelayUs[1])) }
            : { ...usual, lossPpm: prng.pick([100_000, 300_000, 700_000]) };
        events.push({
          atUs: fromUs,
          what: `${kind} ${from} to ${to}: ${JSON.stringify(changed)}`,
          apply: (hub) => network.setPath(hub, from, to, changed),
        });
        events.push({ atUs: untilUs, what: `${kind} ${from} to ${to} ends`, apply: (hub) => network.setPath(hub, from, to, usual) });
      }
    }
  }
  // Stable: what was drawn first comes first at equal times.
  events.sort((a, b) => a.atUs - b.atUs);
  return { events, counts };

  function block(fromUs: number, untilUs: number, from: number[], to: number[], bothWays: boolean): void {
    const pairs: [number, number][] = [];
    for (const a of from) {
      for (const b of to) {
        if (a === b) continue;
        pairs.push([a, b]);
        if (bothWays) pairs.push([b, a]);
      }
    }
    const change = (hub: NativeLoopHub, by: 1 | -1) => {
      for (const [a, b] of pairs) network.block(hub, a, b, by);
    };
    const name = `${from.join(",")} ${bothWays ? "and" : "to"} ${to.join(",")}`;
    events.push({ atUs: fromUs, what: `block ${name}`, apply: (hub) => change(hub, 1) });
    events.push({ atUs: untilUs, what: `unblock ${name}`, apply: (hub) => change(hub, -1) });
  }
}

export function pathKey(from: number, to: number): number {
  return from * 65536 + to;
}

/** Ends all faults: clean paths, no blocks, no pauses, clocks right and steady. */
export function healAll(hub: NativeLoopHub, ports: Ports): void {
  const all = [...ports.replicas, ...ports.clients];
  hub.setDefaultPath(cleanPath);
  for (const from of all) {
    hub.pause(from, 0);
    hub.setClock(from, 0, 0);
    for (const to of all) {
      hub.setPath(from, to, cleanPath);
      hub.setBlocked(from, to, false);
    }
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
