/** Names, colours and shapes of what is compared. A colour is a variable of the page's style, so that it fits its light and dark form. */
import type { RunKey } from "../record.js";

export type Side = RunKey["protocol"];

interface Look {
  /** In tables and text. */
  name: string;
  /** At the end of a line. */
  label: string;
  color: string;
  shape: string;
}

const looks: Record<Side, Look> = {
  speculative: { name: "Speculative Paxos", label: "Speculative", color: "var(--speculative)", shape: "circle" },
  "fast-paxos": { name: "Fast Paxos", label: "Fast Paxos", color: "var(--fast-paxos)", shape: "triangle-up" },
  paxos: { name: "Paxos", label: "Paxos", color: "var(--paxos)", shape: "square" },
  "paxos-batching": { name: "Paxos with batching", label: "Batching", color: "var(--batching)", shape: "diamond" },
  unreplicated: { name: "Unreplicated", label: "Unreplicated", color: "var(--unreplicated)", shape: "cross" },
  "speculative-leader": {
    name: "Speculative Paxos, LEADER mode",
    label: "Leader mode",
    color: "var(--leader-mode)",
    shape: "triangle-down",
  },
  adaptive: { name: "Speculative Paxos, adaptive", label: "Adaptive", color: "var(--adaptive)", shape: "cross" },
  "floor-one-round-trip": { name: "Floor of one round trip (C)", label: "Floor, 1 trip", color: "var(--floor)", shape: "circle" },
  "floor-two-round-trips": { name: "Floor of two round trips (C)", label: "Floor, 2 trips", color: "var(--floor)", shape: "circle" },
};

/** The order of tables and charts. */
export const sides = Object.keys(looks) as Side[];

/** A side that this version does not know (a result of another one) is shown by its own name. */
export function look(side: string): Look {
  return Object.hasOwn(looks, side) ? looks[side as Side] : { name: side, label: side, color: "var(--ink-soft)", shape: "circle" };
}

export function bySide(a: { protocol: string }, b: { protocol: string }): number {
  return rank(a.protocol) - rank(b.protocol);
}

function rank(side: string): number {
  const index = sides.indexOf(side as Side);
  return index < 0 ? sides.length : index;
}
