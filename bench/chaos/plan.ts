import type { Prng } from "../../dist/sim/prng.js";
import type { Cut } from "./network.js";

/**
 * kill: kill -9 of one replica, its memory lost; killf: of f at once. pause: SIGSTOP, as a long collection of garbage;
 * stall: the same for so long that receive buffers fill up. partition: two sides that don't hear each other; oneway: a
 * replica that is not heard by some, or does not hear some.
 */
export const faultKinds = ["kill", "killf", "pause", "stall", "partition", "oneway"] as const;
export type FaultKind = (typeof faultKinds)[number];

export const networkFaults: readonly FaultKind[] = ["partition", "oneway"];

export interface Fault {
  kind: FaultKind;
  atMs: number;
  /** How long a replica is down or paused, or the network cut. */
  lengthMs: number;
  /** Victims of a kill or pause. */
  replicas: number[];
  /** The first victim is the leader, whoever that is then. */
  leader: boolean;
  cuts: Cut[];
}

/** Kinds that take turns; different tracks overlap as they like. */
const tracks: readonly (readonly FaultKind[])[] = [
  ["kill", "killf"],
  ["pause", "stall"],
  ["partition", "oneway"],
];

/** Shortest and longest, in ms; drawn log-uniformly. */
const lengthsMs: Record<FaultKind, [number, number]> = {
  kill: [20, 3_000],
  killf: [20, 3_000],
  pause: [10, 1_000],
  stall: [2_000, 5_000],
  partition: [50, 4_000],
  oneway: [50, 4_000],
};
const gapsMs: [number, number] = [200, 3_000];

/** All faults of a run of `durationMs`, by tracks, each in order of time; the last ones end before the run does. */
export function planFaults(prng: Prng, kinds: readonly FaultKind[], replicas: number, durationMs: number): Fault[][] {
  return tracks
    .map((track, index) => ({ kinds: track.filter((kind) => kinds.includes(kind)), prng: prng.split(`track ${index}`) }))
    .filter((track) => track.kinds.length > 0)
    .map((track) => planTrack(track.prng, track.kinds, replicas, durationMs));
}

function planTrack(prng: Prng, kinds: readonly FaultKind[], replicas: number, durationMs: number): Fault[] {
  const faults: Fault[] = [];
  let atMs = prng.spread(...gapsMs);
  for (;;) {
    const kind = prng.pick(kinds);
    const lengthMs = prng.spread(...lengthsMs[kind]);
    if (atMs + lengthMs > durationMs) return faults;
    faults.push({
      kind,
      atMs,
      lengthMs,
      replicas: victims(prng, kind, replicas),
      leader: prng.chance(0.5),
      cuts: cutsOf(prng, kind, replicas),
    });
    atMs += lengthMs + prng.spread(...gapsMs);
  }
}

function victims(prng: Prng, kind: FaultKind, replicas: number): number[] {
  const everyone = prng.shuffle(Array.from({ length: replicas }, (_, id) => id));
  const mostLost = (replicas - 1) >> 1;
  // Memory survives a pause: even all at once may be paused.
  const count = { kill: 1, killf: mostLost, pause: prng.chance(0.2) ? prng.between(1, replicas) : 1, stall: 1, partition: 0, oneway: 0 };
  return everyone.slice(0, count[kind]);
}

function cutsOf(prng: Prng, kind: FaultKind, replicas: number): Cut[] {
  const clients = replicas;
  const cuts: Cut[] = [];
  if (kind === "partition") {
    const members = prng.shuffle(Array.from({ length: replicas }, (_, id) => id));
    const side = members.slice(0, prng.between(1, replicas >> 1));
    // Clients mostly stay with the larger side, where the group can go on.
    if (prng.chance(0.2)) side.push(clients);
    for (let other = 0; other <= replicas; other++) {
      if (side.includes(other)) continue;
      for (const member of side) cuts.push({ from: member, to: other }, { from: other, to: member });
    }
  }
  if (kind === "oneway") {
    const replica = prng.below(replicas);
    const deaf = prng.chance(0.5);
    for (let other = 0; other <= replicas; other++) {
      if (other === replica || prng.chance(0.3)) continue;
      cuts.push(deaf ? { from: other, to: replica } : { from: replica, to: other });
    }
  }
  return cuts;
}
