/**
 * Who goes first. Steps of different replicas never disturb each other: a message that was sent stays there, so the other order leads to the
 * same state. It is enough to let some replicas go on, and the rest later, if nobody of the rest can send these anything, now or in any
 * future, that would have them do what they can't do now (a persistent set of steps, in the terms of partial-order reduction).
 */
import { Guard, ReplicaStatus } from "../data/binding.js";
import type { ReplicaState } from "./replica.js";

/** Without one of these rules views and processes matter to each other in ways that are not foreseen here. */
const needed =
  Guard.MergeOnce |
  Guard.InstallOnce |
  Guard.CommitAcrossViews |
  Guard.RecoveryMask |
  Guard.RecoverySilence |
  Guard.QuorumIncarnations |
  Guard.AdoptVector;

export interface OrderOptions {
  readonly n: number;
  readonly mode: "speculative" | "leader" | "adaptive";
  readonly guardsOff: number;
}

/** What a replica is in and can do. */
export interface Candidate {
  readonly state: ReplicaState;
  /** How many steps it can take. */
  readonly moves: number;
  /** Whether it can give up its view for the next one by itself, or there is none. */
  readonly leaves: boolean;
}

export class Order {
  /** Whether it is known who disturbs whom. */
  readonly applies: boolean;
  private readonly all: number;

  constructor(private readonly options: OrderOptions) {
    this.all = 2 ** options.n - 1;
    this.applies = options.mode === "speculative" && (options.guardsOff & needed) === 0;
  }

  /** A bit for each replica that is to go on now. Nobody may crash any more. */
  choose(candidates: readonly Candidate[]): number {
    if (!this.applies || !this.settled(candidates)) return this.all;
    let chosen = this.all;
    let fewest = Number.POSITIVE_INFINITY;
    candidates.forEach(({ moves }, r) => {
      if (moves === 0) return;
      const group = this.closed(candidates, r);
      const sum = candidates.reduce((total, one, at) => total + ((group >> at) & 1) * one.moves, 0);
      if (sum >= fewest) return;
      chosen = group;
      fewest = sum;
    });
    return chosen;
  }

  /** Who recovers, or knows of a crash that others have not heard of, may have news for anybody. */
  private settled(candidates: readonly Candidate[]): boolean {
    const { vector } = candidates[0]!.state;
    return candidates.every(({ state }) => state.status !== ReplicaStatus.Recovery && state.vector === vector);
  }

  /** `first`, those who may influence it, those who may influence these, and so on. */
  private closed(candidates: readonly Candidate[], first: number): number {
    let group = 0;
    for (const due = [first]; due.length > 0; ) {
      const r = due.pop()!;
      group |= 1 << r;
      for (let other = 0; other < candidates.length; other++) {
        if (!(group & (1 << other)) && this.influences(other, candidates[other]!.state, r, candidates[r]!)) due.push(other);
      }
    }
    return group;
  }

  /**
   * Whether replica `from` may yet send replica `to` something of the view that this is in, or of one before, that changes it. What is of a
   * later view need not be waited for: it has a replica leave its view, which it can do before, and then it finds the message.
   */
  private influences(from: number, sender: ReplicaState, to: number, { state, leaves }: Candidate): boolean {
    if (!leaves) return true;
    if (sender.view > state.view) return false;
    if (state.status === ReplicaStatus.Reconciliation) {
      if (sender.view < state.view) return true;
      // RECONCILE to the leader, and its START-VIEW.
      return sender.status === ReplicaStatus.Reconciliation && (this.leads(to, state.view) || this.leads(from, state.view));
    }
    // SYNC-REPLY, IN-VIEW and COMMIT change nothing but what is committed.
    if (state.committed === state.end) return false;
    if (this.leads(to, state.view)) return true;
    for (let view = sender.view; view <= state.view; view++) if (this.leads(from, view)) return true;
    return false;
  }

  private leads(replica: number, view: number): boolean {
    return view % this.options.n === replica;
  }
}
