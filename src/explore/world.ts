/**
 * The group as a whole, in numbers: a state of each replica, the messages that may reach it, and what the outside has seen. Says where one can
 * go from there. The reductions hide nothing (docs/explore.md): what a replica sends without changing itself is sent at once, messages
 * that can change nothing any more are forgotten, replicas that nobody can disturb go first, and of two states one may cover the other.
 */
import { Guard, MessageType, ReplicaStatus } from "../data/binding.js";
import { SquallError } from "../errors.js";
import { Facts } from "./facts.js";
import { IdSets } from "./id-sets.js";
import { Event, Locals, type Step } from "./locals.js";
import { Messages } from "./messages.js";
import { Order } from "./order.js";
import { clientId, type ExploredGroup, ExploredReplica, LogEntries } from "./replica.js";
import { requestBody } from "./requests.js";

export interface WorldOptions extends ExploredGroup {
  ops: number;
  crashes: number;
  views: number;
  /** Events that come first, as traces show them. */
  after?: readonly string[];
  /** Fewer than all of what docs/explore.md lists as reductions of the search, so that a test can compare. Default "all". */
  reductions?: "none" | "local" | "all";
}

/** What an event adds: messages for each replica, by the number of their set, and facts. */
interface Effect {
  readonly inboxes: readonly number[];
  readonly facts: number;
}

export interface Move extends Effect {
  readonly event: number;
  readonly next: number;
}

interface Expansion {
  readonly moves: readonly Move[];
  /** Whether the replica can give up its view for the next one, or there is none that is searched. */
  readonly leaves: boolean;
  /** What happens at once, as it takes no possibility away. */
  readonly idle: Effect;
  readonly idleEvents: readonly number[];
  /** The state after that. */
  readonly settled: number;
}

const SetupRounds = 20;
const MaxProcesses = 16;
const MaxViews = 16;
const MostRemembered = 2_000_000;

/** Words of a state: the replicas' states, the crashes so far, the replicas' inboxes, the facts. */
export class World {
  readonly n: number;
  readonly words: number;
  /** The first words of a state, in which two must be alike for one to cover the other. */
  readonly keyWords: number;
  private readonly inboxesAt: number;
  private readonly factsAt: number;
  private readonly order: Order;
  readonly messages: Messages;
  readonly locals: Locals[];
  readonly facts: Facts;
  private readonly inboxes: IdSets[];
  private readonly factSets = new IdSets();
  private readonly replicas: ExploredReplica[];
  /** By replica, its state, and its inbox. */
  private readonly expansions: Map<number, Expansion>[][];
  /** By replica, what it looks like to messages, and its inbox. */
  private readonly pruned: Map<number, Map<number, number>>[];
  /** How many of the two. */
  private remembered = 0;
  private readonly prunedFacts = new Map<number, Map<number, number>>();
  private readonly settled = new Map<number, number>();
  private readonly verdicts = new Map<number, string | undefined>();
  private readonly f: number;
  private readonly nothing: Effect;
  private readonly effects = new Map<Step, Effect>();

  constructor(private readonly options: WorldOptions) {
    const { n, binding } = options;
    this.n = n;
    this.f = (n - 1) / 2;
    this.words = 2 * n + 2;
    this.inboxesAt = n + 1;
    this.keyWords = this.reductions === "all" ? this.inboxesAt : this.words;
    this.factsAt = 2 * n + 1;
    this.order = new Order(options);
    this.facts = new Facts(n, options.guardsOff);
    this.messages = new Messages(options.views, (options.guardsOff & (Guard.MergeOnce | Guard.InstallOnce)) === 0);
    this.replicas = Array.from({ length: n }, (_, id) => new ExploredReplica(options, id));
    this.locals = this.replicas.map((replica, id) => new Locals({ binding, replica, id, messages: this.messages, facts: this.facts }));
    this.inboxes = this.replicas.map(() => new IdSets());
    this.nothing = { inboxes: this.replicas.map(() => 0), facts: 0 };
    this.expansions = this.replicas.map(() => []);
    this.pruned = this.replicas.map(() => new Map());
  }

  close(): void {
    for (const replica of this.replicas) replica.close();
  }

  /** What happened before the search began. */
  get before(): readonly string[] {
    return this.options.after ?? [];
  }

  private get reductions(): "none" | "local" | "all" {
    return this.options.reductions ?? "all";
  }

  /** Steps of the real code so far. */
  get stepsTaken(): number {
    return this.locals.reduce((sum, locals) => sum + locals.taken, 0);
  }

  /** All replicas NORMAL in view 0 with the client's session committed, and its operations on their way. */
  initial(): Uint32Array {
    const { n, ops } = this.options;
    const inboxes = this.replicas.map((_, to) => [this.requestTo(to, 0)]);
    const states = this.replicas.map((replica, r) => this.locals[r]!.intern(replica.bootstrapped().state));
    for (let round = 0; round < SetupRounds; round++) {
      for (let r = 0; r < n; r++) {
        for (const event of [Event.Soon, ...inboxes[r]!]) {
          const step = this.locals[r]!.step(states[r]!, event);
          states[r] = step.next;
          for (const id of step.sent) {
            const inbox = inboxes[this.messages.message(id).to]!;
            if (!inbox.includes(id)) inbox.push(id);
          }
        }
      }
    }
    const state = new Uint32Array(this.words);
    for (let r = 0; r < n; r++) {
      const { committed, end } = this.locals[r]!.states[states[r]!]!;
      if (committed !== 1 || end !== 1) throw new Error(`replica ${r} has not committed the session: ${committed} of ${end}`);
      state[r] = states[r]!;
      state[this.inboxesAt + r] = this.inboxes[r]!.of(Array.from({ length: ops }, (_, i) => this.requestTo(r, i + 1)));
    }
    this.settle(state);
    for (const line of this.options.after ?? []) {
      let found: { replica: number; move: Move } | undefined;
      this.forEachMove(state, (replica, move) => {
        if (this.describe(replica, move.event) === line) found ??= { replica, move };
      });
      if (!found) throw new SquallError("INVALID_OPTION", `At that point this can't happen: ${line}`);
      this.apply(state, found.replica, found.move);
    }
    return state;
  }

  private requestTo(to: number, request: number): number {
    return this.messages.id({ from: clientId, to, type: MessageType.Request, body: requestBody(request) });
  }

  /** Calls `go` with each replica and what it can do. */
  forEachMove(state: Uint32Array, go: (replica: number, move: Move) => void): void {
    for (let r = 0; r < this.n; r++) this.forEachMoveOf(r, state, go);
  }

  /** The same for replicas with which it is enough to go on. */
  forEachFirstMove(state: Uint32Array, go: (replica: number, move: Move) => void): void {
    const first = this.first(state);
    for (let r = 0; r < this.n; r++) if (first & (1 << r)) this.forEachMoveOf(r, state, go);
  }

  private forEachMoveOf(r: number, state: Uint32Array, go: (replica: number, move: Move) => void): void {
    for (const move of this.expandIn(state, r).moves) go(r, move);
    if (this.mayCrash(state, r)) go(r, this.crash(r, state));
  }

  /** A bit for each replica that is to go on. */
  private first(state: Uint32Array): number {
    if (this.reductions !== "all" || this.crashesLeft(state)) return 2 ** this.n - 1;
    return this.order.choose(
      this.locals.map((locals, r) => {
        const { moves, leaves } = this.expandIn(state, r);
        return { state: locals.states[state[r]!]!, moves: moves.length, leaves };
      }),
    );
  }

  /** Whether whatever can come of the state at `other` can come of that at `state`: the key words are equal. */
  covers(words: Uint32Array, state: number, otherWords: Uint32Array, other: number): boolean {
    for (let at = this.keyWords; at < this.words; at++) {
      const more = words[state + at]!;
      const less = otherWords[other + at]!;
      if (more === less) continue;
      if (at === this.factsAt ? !this.factsCover(more, less) : !this.inboxes[at - this.inboxesAt]!.includes(more, less)) return false;
    }
    return true;
  }

  /** Whether what was put off comes up again: every replica only ever goes on. */
  get progresses(): boolean {
    return !this.order.applies || this.locals.every((locals) => locals.progresses);
  }

  /** `state` becomes what `move` of `replica` makes of it. `idle`, if given, is told what happened besides. */
  apply(state: Uint32Array, replica: number, move: Move, idle?: (replica: number, event: number) => void): void {
    if (move.event <= Event.Crash) state[this.inboxesAt - 1]!++;
    state[replica] = move.next;
    this.add(state, move);
    this.settle(state, idle);
  }

  /** What is wrong with it; undefined: nothing. */
  violation(state: Uint32Array): string | undefined {
    const set = state[this.factsAt]!;
    if (!this.verdicts.has(set)) this.verdicts.set(set, this.facts.contradiction(this.factSets.members(set)));
    return this.verdicts.get(set);
  }

  /** The messages that may reach the replica. */
  inbox(state: Uint32Array, replica: number): Uint32Array {
    return this.inboxes[replica]!.members(state[this.inboxesAt + replica]!);
  }

  /** What the outside has seen. */
  factsOf(state: Uint32Array): Uint32Array {
    return this.factSets.members(state[this.factsAt]!);
  }

  describe(replica: number, event: number): string {
    if (event === Event.Soon) return `replica ${replica} repeats what is due`;
    if (event === Event.Timeout) return `replica ${replica} gives up its view`;
    if (event <= Event.Crash) return `replica ${replica} crashes and starts again without memory`;
    return this.messages.describe(event);
  }

  private crashesLeft(state: Uint32Array): boolean {
    return state[this.inboxesAt - 1]! < this.options.crashes;
  }

  private mayCrash(state: Uint32Array, replica: number): boolean {
    if (!this.crashesLeft(state)) return false;
    let down = 1;
    for (let r = 0; r < this.n; r++) {
      if (r !== replica && this.locals[r]!.states[state[r]!]!.status === ReplicaStatus.Recovery) down++;
    }
    return down <= this.f;
  }

  private crash(replica: number, state: Uint32Array): Move {
    const event = Event.Crash - (state[this.inboxesAt - 1]! + 1);
    const { next } = this.locals[replica]!.step(state[replica]!, event);
    return { event, next, ...this.nothing };
  }

  /** A bit for each replica whose inbox grew. */
  private add(state: Uint32Array, effect: Effect): number {
    let grew = 0;
    for (let r = 0; r < this.n; r++) {
      const added = effect.inboxes[r]!;
      if (added === 0) continue;
      const before = state[this.inboxesAt + r]!;
      const after = this.inboxes[r]!.union(before, added);
      if (after !== before) grew |= 1 << r;
      state[this.inboxesAt + r] = after;
    }
    if (effect.facts !== 0) state[this.factsAt] = this.settleFacts(this.factSets.union(state[this.factsAt]!, effect.facts));
    return grew;
  }

  /** Everything is sent that can be sent without changing anybody; then what nobody needs any more is forgotten. */
  private settle(state: Uint32Array, idle?: (replica: number, event: number) => void): void {
    if (this.reductions === "none") return;
    for (let due = 2 ** this.n - 1; due !== 0; ) {
      const r = 31 - Math.clz32(due);
      due &= ~(1 << r);
      const expansion = this.expandIn(state, r);
      if (expansion.settled !== state[r]) due |= 1 << r;
      state[r] = expansion.settled;
      due |= this.add(state, expansion.idle);
      if (idle) for (const event of expansion.idleEvents) idle(r, event);
    }
    for (let r = 0; r < this.n; r++) state[this.inboxesAt + r] = this.prune(r, state, state[this.inboxesAt + r]!);
    state[this.factsAt] = this.pruneFacts(state, state[this.factsAt]!);
  }

  /** Without votes that nobody can complete any more: who is past a view answers in it no more. */
  private pruneFacts(state: Uint32Array, set: number): number {
    if (this.crashesLeft(state)) return set;
    let key = 0;
    for (let r = 0; r < this.n; r++) {
      const { status, view } = this.locals[r]!.states[state[r]!]!;
      key = key * MaxViews + (status === ReplicaStatus.Recovery ? 0 : view);
    }
    let known = this.prunedFacts.get(key);
    if (!known) {
      known = new Map();
      this.prunedFacts.set(key, known);
    }
    let kept = known.get(set);
    if (kept === undefined) {
      const views = Array.from({ length: this.n }, (_, r) => Math.floor(key / MaxViews ** (this.n - 1 - r)) % MaxViews);
      kept = this.factSets.of(this.facts.alive(this.factSets.members(set), views));
      known.set(set, kept);
    }
    return kept;
  }

  private factsCover(more: number, less: number): boolean {
    return this.factSets.includes(more, less) || this.facts.cover(this.factSets.members(more), this.factSets.members(less));
  }

  private settleFacts(set: number): number {
    let settled = this.settled.get(set);
    if (settled === undefined) {
      settled = this.factSets.of(this.facts.settled(this.factSets.members(set)));
      this.settled.set(set, settled);
    }
    return settled;
  }

  private prune(replica: number, state: Uint32Array, inbox: number): number {
    const local = this.locals[replica]!.states[state[replica]!]!;
    const lasting = !this.crashesLeft(state);
    const { view, committed, end, status, asking } = local;
    // Everything that Messages.matters looks at.
    const key = ((((view * LogEntries + committed) * LogEntries + end) * 4 + status) * MaxProcesses + asking + 1) * 2 + (lasting ? 1 : 0);
    let known = this.pruned[replica]!.get(key);
    if (!known) {
      known = new Map();
      this.pruned[replica]!.set(key, known);
    }
    let kept = known.get(inbox);
    if (kept === undefined) {
      if (++this.remembered > MostRemembered) this.forget();
      kept = this.inboxes[replica]!.filter(inbox, (id) => this.messages.matters(id, local, lasting));
      known.set(inbox, kept);
    }
    return kept;
  }

  private expandIn(state: Uint32Array, replica: number): Expansion {
    return this.expand(replica, state[replica]!, state[this.inboxesAt + replica]!);
  }

  private expand(replica: number, local: number, inbox: number): Expansion {
    this.expansions[replica]![local] ??= new Map();
    const known = this.expansions[replica]![local]!;
    let expansion = known.get(inbox);
    if (!expansion) {
      if (++this.remembered > MostRemembered) this.forget();
      expansion = this.makeExpansion(replica, local, inbox);
      known.set(inbox, expansion);
    }
    return expansion;
  }

  /** What can be found again is not to fill the memory. */
  private forget(): void {
    this.remembered = 0;
    for (const ofReplica of this.expansions) ofReplica.length = 0;
    for (const ofReplica of this.pruned) ofReplica.clear();
  }

  private makeExpansion(replica: number, local: number, inbox: number): Expansion {
    const locals = this.locals[replica]!;
    const moves: Move[] = [];
    const idleEvents: number[] = [];
    let idle = this.nothing;
    let settled = local;
    const { view } = locals.states[local]!;
    let leaves = view >= this.options.views;
    for (const event of [...this.inboxes[replica]!.members(inbox), Event.Soon, Event.Timeout]) {
      const step = locals.step(settled, event);
      const effect = this.effectOf(step);
      if (step.gathers && this.reductions !== "none") {
        if (effect !== this.nothing || step.next !== settled) idleEvents.push(event);
        idle = this.together(idle, effect);
        settled = step.next;
      } else if (locals.states[step.next]!.view <= this.options.views) {
        const known = moves.some((move) => move.next === step.next && move.facts === effect.facts && sameInboxes(move, effect));
        if (!known) moves.push({ event, next: step.next, ...effect });
        leaves ||= event === Event.Timeout && locals.states[step.next]!.view === view + 1;
      }
    }
    // What was tried before something was gathered is to be tried once more.
    return { moves: settled === local ? moves : [], leaves, idle, idleEvents, settled };
  }

  private effectOf(step: Step): Effect {
    if (step.sent.length + step.facts.length === 0) return this.nothing;
    let effect = this.effects.get(step);
    if (!effect) {
      const byReceiver: number[][] = this.replicas.map(() => []);
      for (const id of step.sent) byReceiver[this.messages.message(id).to]!.push(id);
      effect = { inboxes: byReceiver.map((ids, r) => this.inboxes[r]!.of(ids)), facts: this.factSets.of(step.facts) };
      this.effects.set(step, effect);
    }
    return effect;
  }

  private together(a: Effect, b: Effect): Effect {
    if (a === this.nothing || b === this.nothing) return a === this.nothing ? b : a;
    return {
      inboxes: a.inboxes.map((set, r) => this.inboxes[r]!.union(set, b.inboxes[r]!)),
      facts: this.factSets.union(a.facts, b.facts),
    };
  }
}

function sameInboxes(a: Effect, b: Effect): boolean {
  return a.inboxes.every((set, r) => set === b.inboxes[r]);
}
