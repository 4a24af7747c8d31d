/**
 * Linearizability of a history, object by object (the property is local). Two ways to an answer:
 *  - a witness: the order that the system itself claims, replayed on fresh models and compared with real time. A witness that
 *    holds is a proof, whoever made it; one that does not proves nothing, so
 *  - the search decides: Wing and Gong's depth-first search over linked invocations and responses with Lowe's memoisation of
 *    (operations linearized, state). Operations with unknown outcome may be taken at any time after their invocation, or never.
 */
import { EMPTY, type History, Kind, NEVER, type ObjectType, typeOfKind } from "./history.js";
import { isPure, type Model, modelOf } from "./models.js";

export interface Verdict {
  linearizable: boolean;
  /** False where the search gave up at its limit: such a history counts as not linearizable. */
  decided: boolean;
  /** How many objects had no witness and were searched, and the steps that took. */
  searched: number;
  steps: number;
  /** Where it is not linearizable: the object, the operation that fits nowhere, and its neighbours. */
  failure?: { object: string; operation: string; around: string[] };
}

export interface CheckOptions {
  /** Try `claimedSeqno` as a witness first. Default true. */
  witness?: boolean;
  /** Limit of the search per object. Default 2,000,000. */
  maxSteps?: number;
}

export function checkLinearizability(history: History, { witness = true, maxSteps = 2_000_000 }: CheckOptions = {}): Verdict {
  const verdict: Verdict = { linearizable: true, decided: true, searched: 0, steps: 0 };
  const proven = witness ? witnessedObjects(history) : new Set<number>();
  for (const [key, operations] of operationsByObject(history, proven)) {
    const outcome = new Search(history, operations, Math.floor(key / OBJECTS) as ObjectType).run(maxSteps);
    verdict.searched++;
    verdict.steps += outcome.steps;
    if (outcome.linearizable) continue;
    verdict.linearizable = false;
    verdict.decided &&= outcome.decided;
    const place = operations.indexOf(outcome.stuckAt);
    verdict.failure ??= {
      object: `${["register", "counter", "queue"][Math.floor(key / OBJECTS)]} ${key % OBJECTS}`,
      operation: history.describe(outcome.stuckAt),
      around: operations.slice(Math.max(0, place - 8), place + 8).map((index) => history.describe(index)),
    };
  }
  return verdict;
}

/** More objects of one type than a history can name. */
const OBJECTS = 65536;

function objectKey(history: History, index: number): number {
  return typeOfKind[history.kind[index]!]! * OBJECTS + history.object[index]!;
}

/** Operation indexes by object, in order of invocation, of the objects that are not proven yet. */
function operationsByObject(history: History, proven: Set<number>): Map<number, number[]> {
  const objects = new Map<number, number[]>();
  for (let index = 0; index < history.count; index++) {
    const key = objectKey(history, index);
    if (proven.has(key)) continue;
    const operations = objects.get(key);
    if (operations) operations.push(index);
    else objects.set(key, [index]);
  }
  for (const operations of objects.values()) {
    for (let i = 1; i < operations.length; i++) {
      if (history.invokedAt[operations[i]!]! < history.invokedAt[operations[i - 1]!]!) {
        operations.sort((a, b) => history.invokedAt[a]! - history.invokedAt[b]!);
        break;
      }
    }
  }
  return objects;
}

/** Objects for which the claimed order explains every known result and contradicts no real time. */
function witnessedObjects(history: History): Set<number> {
  const replays = new Map<number, Replay>();
  const replayOf = (index: number): Replay => {
    const key = objectKey(history, index);
    let replay = replays.get(key);
    if (replay === undefined) {
      replay = new Replay();
      replays.set(key, replay);
    }
    return replay;
  };
  for (const index of claimedOrder(history)) replayOf(index).take(history, index);
  for (let index = 0; index < history.count; index++) {
    if (!(history.claimedSeqno[index]! > 0) && history.respondedAt[index] !== NEVER) replayOf(index).holds = false;
  }
  const proven = new Set<number>();
  for (const [key, replay] of replays) if (replay.holds) proven.add(key);
  return proven;
}

/** Operations with a claimed seqno, in its order. */
function claimedOrder(history: History): Int32Array | number[] {
  let last = 0;
  for (let index = 0; index < history.count; index++) last = Math.max(last, history.claimedSeqno[index]!);
  if (last <= 8 * history.count) {
    const bySeqno = new Int32Array(last + 1).fill(-1);
    let placed = 0,
      shared = false;
    for (let index = 0; index < history.count && !shared; index++) {
      const seqno = history.claimedSeqno[index]!;
      if (!(seqno > 0)) continue;
      shared = bySeqno[seqno] !== -1 || !Number.isInteger(seqno);
      bySeqno[seqno] = index;
      placed++;
    }
    if (!shared) {
      const order = new Int32Array(placed);
      placed = 0;
      for (let seqno = 0; seqno <= last; seqno++) if (bySeqno[seqno]! >= 0) order[placed++] = bySeqno[seqno]!;
      return order;
    }
  }
  const order: number[] = [];
  for (let index = 0; index < history.count; index++) if (history.claimedSeqno[index]! > 0) order.push(index);
  // Reads at one place of the log have no order there: that of their invocations will do.
  return order.sort((a, b) => history.claimedSeqno[a]! - history.claimedSeqno[b]! || history.invokedAt[a]! - history.invokedAt[b]!);
}

/** One object taken through the claimed order. */
class Replay {
  holds = true;
  private value = 0;
  private readonly queue: number[] = [];
  private head = 0;
  private latestInvocation = -Infinity;
  private lastSeqno = 0;

  take(history: History, index: number): void {
    const result = this.apply(history, index);
    const respondedAt = history.respondedAt[index]!,
      seqno = history.claimedSeqno[index]!;
    const wrongResult = respondedAt !== NEVER && result !== history.result[index];
    const againstRealTime = respondedAt < this.latestInvocation;
    if (wrongResult || againstRealTime || (seqno === this.lastSeqno && history.unlogged[index] === 0)) this.holds = false;
    if (history.invokedAt[index]! > this.latestInvocation) this.latestInvocation = history.invokedAt[index]!;
    this.lastSeqno = seqno;
  }

  private apply(history: History, index: number): number {
    const argument = history.argument[index]!;
    switch (history.kind[index]) {
      case Kind.Write:
        this.value = argument;
        return 0;
      case Kind.CompareAndSet:
        if (this.value !== history.expected[index]) return 0;
        this.value = argument;
        return 1;
      case Kind.Add:
        this.value = (this.value + argument) | 0;
        return this.value;
      case Kind.Enqueue:
        this.queue.push(argument);
        return 0;
      case Kind.Dequeue:
        return this.head === this.queue.length ? EMPTY : this.queue[this.head++]!;
      default:
        return this.value;
    }
  }
}

interface SearchOutcome {
  linearizable: boolean;
  decided: boolean;
  steps: number;
  /** Not linearizable: the operation whose response no order got past. */
  stuckAt: number;
}

/**
 * The search over one object. Events (an invocation each, and a response where there is one) lie in a doubly linked list in
 * order of time; an operation that is linearized is lifted out of it. Only invocations before the first response left can be next.
 */
class Search {
  private readonly count: number;
  private readonly next: Int32Array;
  private readonly previous: Int32Array;
  /** Local operation number of each event; events [0, count) are invocations, event count + i is the response of i. */
  private readonly operations: number[];
  private readonly linearized: Uint32Array;
  private readonly knownWords: number;
  private readonly head: number;

  constructor(
    private readonly history: History,
    operations: number[],
    private readonly type: ObjectType,
  ) {
    // Unknown outcomes last: they stay open for ever and would otherwise lengthen every memo key.
    const known = operations.filter((index) => history.respondedAt[index] !== NEVER);
    const unknown = operations.filter((index) => history.respondedAt[index] === NEVER);
    this.operations = [...known, ...unknown];
    this.count = this.operations.length;
    this.knownWords = Math.ceil(known.length / 32);
    this.linearized = new Uint32Array(Math.ceil(this.count / 32) + 1);
    this.head = 2 * this.count;
    this.next = new Int32Array(2 * this.count + 1).fill(this.head);
    this.previous = new Int32Array(2 * this.count + 1).fill(this.head);
    this.link(known.length);
  }

  private link(known: number): void {
    const events: number[] = [];
    const time = new Float64Array(2 * this.count);
    for (let i = 0; i < this.count; i++) {
      events.push(i);
      time[i] = this.history.invokedAt[this.operations[i]!]!;
      if (i >= known) continue;
      events.push(this.count + i);
      time[this.count + i] = this.history.respondedAt[this.operations[i]!]!;
    }
    // At equal times the invocation comes first: operations that touch count as concurrent.
    events.sort((a, b) => time[a]! - time[b]! || Number(a >= this.count) - Number(b >= this.count));
    let last = this.head;
    for (const event of events) {
      this.next[last] = event;
      this.previous[event] = last;
      last = event;
    }
    this.next[last] = this.head;
    this.previous[this.head] = last;
  }

  run(maxSteps: number): SearchOutcome {
    const { history, next, head, count, operations } = this;
    const model = modelOf(this.type);
    const visited = new Set<string>();
    const stack: number[] = [];
    const greedy: boolean[] = [];
    let responsesLeft = 0;
    for (let event = next[head]!; event !== head; event = next[event]!) if (event >= count) responsesLeft++;
    let steps = 0,
      deepest = -1,
      stuckAt = operations[0]!;
    let event = next[head]!;
    while (responsesLeft > 0) {
      if (++steps > maxSteps) return { linearizable: false, decided: false, steps, stuckAt };
      if (event < count) {
        const index = operations[event]!;
        const known = history.respondedAt[index] !== NEVER;
        const result = model.apply(history, index);
        if (!known || result === history.result[index]) {
          // An operation that changes nothing and fits now can be taken now without loss: no other branch is needed.
          const pure = isPure(history.kind[index]!, result);
          if (!(pure && !known) && this.isNew(visited, event, model)) {
            stack.push(event);
            greedy.push(pure);
            this.lift(event, known);
            if (known) responsesLeft--;
            event = next[head]!;
            continue;
          }
        }
        model.undo();
        event = next[event]!;
        continue;
      }
      // The first response left belongs to an operation that is not linearized: this path is dead.
      if (stack.length > deepest) {
        deepest = stack.length;
        stuckAt = operations[event - count]!;
      }
      let wasGreedy = true;
      while (wasGreedy) {
        if (stack.length === 0) return { linearizable: false, decided: true, steps, stuckAt };
        event = stack.pop()!;
        wasGreedy = greedy.pop()!;
        const known = history.respondedAt[operations[event]!] !== NEVER;
        model.undo();
        this.unlift(event, known);
        if (known) responsesLeft++;
      }
      event = next[event]!;
    }
    return { linearizable: true, decided: true, steps, stuckAt };
  }

  /** Marks `operation` as linearized if that leads to a configuration not seen before. */
  private isNew(visited: Set<string>, operation: number, model: Model): boolean {
    const { linearized, knownWords } = this;
    linearized[operation >>> 5]! |= 1 << (operation & 31);
    let low = 0;
    while (low < knownWords && linearized[low] === 0xffffffff) low++;
    let key = `${low}`;
    let high = knownWords;
    while (high > low && linearized[high - 1] === 0) high--;
    for (let word = low; word < high; word++) key += `,${linearized[word]}`;
    key += "/";
    for (let word = knownWords; word < linearized.length; word++) if (linearized[word] !== 0) key += `${word}:${linearized[word]},`;
    key += `/${model.key()}`;
    const before = visited.size;
    visited.add(key);
    if (visited.size > before) return true;
    linearized[operation >>> 5]! &= ~(1 << (operation & 31));
    return false;
  }

  private lift(operation: number, known: boolean): void {
    this.remove(operation);
    if (known) this.remove(this.count + operation);
  }

  private unlift(operation: number, known: boolean): void {
    this.linearized[operation >>> 5]! &= ~(1 << (operation & 31));
    if (known) this.insert(this.count + operation);
    this.insert(operation);
  }

  private remove(event: number): void {
    this.next[this.previous[event]!] = this.next[event]!;
    this.previous[this.next[event]!] = this.previous[event]!;
  }

  private insert(event: number): void {
    this.next[this.previous[event]!] = event;
    this.previous[this.next[event]!] = event;
  }
}
