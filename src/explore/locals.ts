/**
 * What each replica can do: states that it was in, named by numbers, and what every event in every one of them led to. The real code runs
 * once for each such pair; all else is looking up. Whatever a replica does depends on its own state and on what reaches it, so this loses
 * nothing.
 */
import { decodeStartView } from "../control/messages.js";
import { MessageType, type NativeBinding, ReplicaStatus } from "../data/binding.js";
import { type Fact, type Facts, HashDigits } from "./facts.js";
import { operationAt } from "./machine.js";
import type { Messages } from "./messages.js";
import type { ExploredReplica, Outcome, ReplicaEvent, ReplicaState, Sent } from "./replica.js";

/** Of an event: the message with this number, or one of these. */
export const Event = { Soon: -1, Timeout: -2, Crash: -3 } as const;

export interface Step {
  /** Number of the state it leads to. */
  readonly next: number;
  /** The new state can do all that the old one could: it has gathered something towards a quorum, or is the same. */
  readonly gathers: boolean;
  /** Messages, by their numbers. */
  readonly sent: readonly number[];
  readonly facts: readonly number[];
}

export interface LocalOptions {
  binding: NativeBinding;
  replica: ExploredReplica;
  id: number;
  messages: Messages;
  facts: Facts;
}

export class Locals {
  readonly states: ReplicaState[] = [];
  /** Steps of the real code. */
  taken = 0;
  private readonly known = new Map<string, number>();
  private readonly steps: Map<number, Step>[] = [];

  constructor(private readonly options: LocalOptions) {}

  /** `event`: a message, Event.Soon, Event.Timeout, or Event.Crash less the number of the process that follows, from 1. */
  step(state: number, event: number): Step {
    const steps = this.steps[state]!;
    let step = steps.get(event);
    if (!step) {
      const { replica } = this.options;
      const from = this.states[state]!;
      step = this.record(from, replica.step(from, this.eventOf(event)), event <= Event.Crash);
      steps.set(event, step);
      this.taken++;
    }
    return step;
  }

  /** Takes in a state that was reached by other means; its messages are not kept. */
  intern(state: ReplicaState): number {
    const key = `${state.native} ${state.machine} ${state.control.join()}`;
    let number = this.known.get(key);
    if (number === undefined) {
      number = this.states.length;
      this.known.set(key, number);
      this.states.push(state);
      this.steps.push(new Map());
    }
    return number;
  }

  /** Whether the replica, unless it recovers, never comes back to a state that it was in before. */
  get progresses(): boolean {
    const Open = 1;
    const Done = 2;
    const marks = new Uint8Array(this.states.length);
    for (let first = 0; first < marks.length; first++) {
      const recovers = this.states[first]!.status === ReplicaStatus.Recovery;
      for (const path = recovers || marks[first] === Done ? [] : [first]; path.length > 0; ) {
        const state = path[path.length - 1]!;
        if (marks[state] !== 0) {
          marks[state] = Done;
          path.pop();
          continue;
        }
        marks[state] = Open;
        for (const { next } of this.steps[state]!.values()) {
          if (next === state || marks[next] === Done || this.states[next]!.status === ReplicaStatus.Recovery) continue;
          if (marks[next] === Open) return false;
          path.push(next);
        }
      }
    }
    return true;
  }

  private eventOf(event: number): ReplicaEvent {
    if (event === Event.Soon) return { kind: "soon" };
    if (event === Event.Timeout) return { kind: "timeout" };
    if (event <= Event.Crash) return { kind: "crash", process: Event.Crash - event };
    const { from, type, body } = this.options.messages.message(event);
    return { kind: "deliver", from, type, body };
  }

  private record(from: ReplicaState, outcome: Outcome, crashed: boolean): Step {
    const { id, facts, messages, replica } = this.options;
    const { state, sent, failures } = outcome;
    const found: Fact[] = failures.map((message) => ({ kind: "failure", replica: id, message }));
    if (!crashed) {
      if (state.committed < from.committed) found.push({ kind: "failure", replica: id, message: "the committed seqno fell" });
      for (let seqno = from.committed + 1; seqno <= state.committed; seqno++) {
        const operation = operationAt(state.machine, seqno);
        found.push({ kind: "committed", seqno, hash: replica.hashAt(seqno).slice(0, HashDigits), operation });
      }
    }
    for (const message of sent) found.push(...factsOf(id, message));
    return {
      next: this.intern(state),
      gathers: !crashed && replica.hasGathered(from, state),
      sent: sent.filter(({ to }) => to >= 0).map(({ to, type, body }) => messages.id({ from: id, to, type, body })),
      facts: [...new Set(found.map((fact) => facts.id(fact)))],
    };
  }
}

/** What a message shows to the outside, besides its effect on replicas. */
export function factsOf(from: number, { to, type, body }: Sent): Fact[] {
  const bytes = Buffer.from(body.buffer, body.byteOffset, body.byteLength);
  if (to < 0) return type === MessageType.Reply ? votesOf(from, bytes) : [];
  if (type !== MessageType.StartView) return [];
  const start = decodeStartView(bytes);
  if (!start) return [];
  const hashes = [Buffer.from(start.baseHash).toString("hex").slice(0, HashDigits)];
  for (let at = 0; at < start.rows.length; at += 48) hashes.push(Buffer.from(start.rows.subarray(at, at + 16)).toString("hex"));
  return [{ kind: "started", view: start.view, base: start.base, hashes }];
}

/** Records of a REPLY (native/wire/records.h). */
function votesOf(from: number, bytes: Buffer): Fact[] {
  const facts: Fact[] = [];
  const view = Number(bytes.readBigUInt64LE(8));
  const mode = bytes[4]!;
  for (let at = 16; at < bytes.length; at += 40 + bytes.readUInt32LE(at + 36)) {
    const request = Number(bytes.readBigUInt64LE(at));
    const seqno = Number(bytes.readBigUInt64LE(at + 8));
    // What is refused from outside the log names no entry.
    if (seqno === 0) continue;
    const hash = bytes.toString("hex", at + 16, at + 32);
    facts.push({ kind: "vote", from, view, mode, request, seqno, hash, committed: (bytes[at + 32]! & 2) !== 0 });
  }
  return facts;
}
