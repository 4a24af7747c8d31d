/** How a state came about, in as few events as will do. */

import { Event } from "./locals.js";
import type { StateTable } from "./state-table.js";
import type { Move, World } from "./world.js";

/** What happened at a replica: a message that reached it, or one of Event. */
export interface TraceEvent {
  replica: number;
  event: number;
}

/** The moves that led to a state of the table, oldest first. */
export function movesTo(table: StateTable, number: number): TraceEvent[] {
  const moves: TraceEvent[] = [];
  for (let at = number; at !== 0; ) {
    const { parent, replica, event } = table.origin(at);
    moves.unshift({ replica, event });
    at = parent;
  }
  return moves;
}

/** Every event that leads to where `moves` lead, less those without which what is wrong still happens. */
export function minimalTrace(world: World, moves: readonly TraceEvent[]): string[] {
  let events = withIdle(world, moves);
  for (let before = 0; before !== events.length; ) {
    before = events.length;
    for (let at = events.length - 1; at >= 0; at--) {
      const kept = replay(world, [...events.slice(0, at), ...events.slice(at + 1)]);
      if (kept) events = kept;
    }
  }
  return [...world.before, ...events.map(({ replica, event }) => world.describe(replica, event))];
}

/** With what happened at once besides. */
function withIdle(world: World, moves: readonly TraceEvent[]): TraceEvent[] {
  const events: TraceEvent[] = [];
  const state = world.initial();
  for (const { replica, event } of moves) {
    let taken: Move | undefined;
    world.forEachMove(state, (r, move) => {
      if (r === replica && move.event === event) taken = move;
    });
    if (!taken) throw new Error("a step that was taken can't be taken again");
    events.push({ replica, event });
    world.apply(state, replica, taken, (r, idle) => events.push({ replica: r, event: idle }));
  }
  return events;
}

/** The events that can happen one after the other, if they still lead to something wrong. */
function replay(world: World, events: readonly TraceEvent[]): TraceEvent[] | undefined {
  const initial = world.initial();
  const states = initial.slice(0, world.n);
  const sent = new Set<number>();
  for (let r = 0; r < world.n; r++) for (const id of world.inbox(initial, r)) sent.add(id);
  const facts = [...world.factsOf(initial)];
  const kept: TraceEvent[] = [];
  for (const { replica, event } of events) {
    if (event >= 0 && !sent.has(event)) continue;
    const step = world.locals[replica]!.step(states[replica]!, event);
    if (step.next === states[replica] && step.sent.every((id) => sent.has(id)) && step.facts.every((id) => facts.includes(id))) continue;
    kept.push({ replica, event });
    states[replica] = step.next;
    for (const id of step.sent) sent.add(id);
    facts.push(...(event > Event.Crash ? step.facts : []));
  }
  return world.facts.contradiction(new Set(facts)) === undefined ? undefined : kept;
}
