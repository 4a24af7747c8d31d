/** Searches every state that a small group can get into, breadth first, so that what it finds is found in the fewest steps. */
import type { NativeBinding } from "../data/binding.js";
import { StateTable } from "./state-table.js";
import { minimalTrace, movesTo } from "./trace.js";
import { walk } from "./walk.js";
import { World, type WorldOptions } from "./world.js";

/** Where a search ends early. */
export interface Bounds {
  /** Most steps from the beginning; undefined: as many as there are. */
  depth?: number;
  maxStates: number;
  maxMs: number;
  onProgress?: (progress: Progress) => void;
}

export interface ExploreOptions extends Bounds {
  binding: NativeBinding;
  replicas: number;
  ops: number;
  crashes: number;
  views: number;
  mode: WorldOptions["mode"];
  guardsOff: number;
  /** See WorldOptions. */
  after?: readonly string[];
  /** Many random walks instead of a search of everything; undefined: no. */
  seed?: number;
}

export interface Progress {
  states: number;
  transitions: number;
  depth: number;
}

export interface Violation {
  what: string;
  /** One event a line. */
  trace: string[];
}

export interface Exploration {
  states: number;
  transitions: number;
  /** Steps from the beginning to the states that are furthest from it. */
  depth: number;
  /** Steps of the real code: a step of the search that had one like it before is looked up. */
  steps: number;
  /** States of single replicas, of all of them. */
  replicaStates: number;
  /** Whether all states were seen: no bound on depth, states, time or memory cut anything off. */
  exhausted: boolean;
  violations: Violation[];
  ms: number;
}

const ProgressEvery = 1 << 17;

/** Ends with the first violation. */
export function explore(options: ExploreOptions): Exploration {
  const world = new World({ ...options, n: options.replicas });
  try {
    return options.seed === undefined ? search(world, options) : walk(world, { ...options, seed: options.seed });
  } finally {
    world.close();
  }
}

export function search(world: World, { depth: deepest = Number.POSITIVE_INFINITY, maxStates, maxMs, onProgress }: Bounds): Exploration {
  const startedMs = performance.now();
  const { words, keyWords } = world;
  const table = new StateTable({ words, keyWords, covers: (...pair) => world.covers(...pair) });
  const state = new Uint32Array(world.words);
  const next = new Uint32Array(world.words);
  const violations: Violation[] = [];
  let transitions = 0;
  let depth = 0;
  let exhausted = true;
  let layerEnd = 1;
  const check = (number: number): void => {
    const what = world.violation(next);
    if (what !== undefined) violations.push({ what, trace: minimalTrace(world, movesTo(table, number)) });
  };
  next.set(world.initial());
  table.add(next, 0, 0, 0);
  check(0);
  for (let number = 0; number < table.count && violations.length === 0; number++) {
    if (number === layerEnd) {
      layerEnd = table.count;
      depth++;
    }
    if (depth >= deepest || table.count >= maxStates || (number % 1024 === 0 && performance.now() - startedMs > maxMs)) {
      exhausted = false;
      break;
    }
    if (number % ProgressEvery === 0) onProgress?.({ states: table.count, transitions, depth });
    if (table.isCovered(number)) continue;
    table.read(number, state);
    world.forEachFirstMove(state, (replica, move) => {
      if (violations.length > 0) return;
      transitions++;
      next.set(state);
      world.apply(next, replica, move);
      if (table.add(next, number, replica, move.event)) check(table.count - 1);
    });
  }
  return {
    states: table.count,
    transitions,
    depth,
    steps: world.stepsTaken,
    replicaStates: world.locals.reduce((sum, locals) => sum + locals.states.length, 0),
    exhausted: exhausted && violations.length === 0 && world.progresses,
    violations,
    ms: performance.now() - startedMs,
  };
}
