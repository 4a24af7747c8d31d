/** Random walks through what a search of everything takes long to get to. Every walk is one that the search would take, too. */
import { Prng } from "../sim/prng.js";
import type { Bounds, Exploration } from "./explore.js";
import { minimalTrace, type TraceEvent } from "./trace.js";
import type { Move, World } from "./world.js";

const LongestWalk = 80;

/** Ends with the first violation, or where a bound does; `states` counts states as often as they were met. */
export function walk(world: World, { seed, depth = LongestWalk, maxStates, maxMs }: Bounds & { seed: number }): Exploration {
  const startedMs = performance.now();
  const prng = new Prng(seed, "explore");
  const initial = world.initial();
  const state = new Uint32Array(world.words);
  let states = 0;
  let furthest = 0;
  const result = (violations: Exploration["violations"]): Exploration => ({
    states,
    transitions: states,
    depth: furthest,
    steps: world.stepsTaken,
    replicaStates: world.locals.reduce((sum, locals) => sum + locals.states.length, 0),
    exhausted: false,
    violations,
    ms: performance.now() - startedMs,
  });
  while (states < maxStates && performance.now() - startedMs < maxMs) {
    state.set(initial);
    const moves: TraceEvent[] = [];
    for (let step = 0; step < depth; step++) {
      const choices: { replica: number; move: Move }[] = [];
      world.forEachMove(state, (replica, move) => choices.push({ replica, move }));
      const choice = choices[Math.floor(prng.unit() * choices.length)];
      if (!choice) break;
      world.apply(state, choice.replica, choice.move);
      moves.push({ replica: choice.replica, event: choice.move.event });
      states++;
      furthest = Math.max(furthest, moves.length);
      const what = world.violation(state);
      if (what !== undefined) return result([{ what, trace: minimalTrace(world, moves) }]);
    }
  }
  return result([]);
}
