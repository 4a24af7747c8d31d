/**
 * What the world outside has seen: votes that replicas gave a client, entries that replicas committed, logs that views started with, and
 * invariants that broke. Facts stay facts. The judge says which of them contradict each other: that is the whole of the specification.
 */
import { superquorum } from "../control/quorums.js";
import { Guard, Mode } from "../data/binding.js";

export type Fact =
  /** Replica `from` told the client of operation `request` where it stands; `committed`: and that it stays there. */
  | { kind: "vote"; from: number; view: number; mode: number; request: number; seqno: number; hash: string; committed: boolean }
  /** The client was given a result, in no view above this one. */
  | ({ kind: "given"; view: number } & Entry)
  /** A replica committed the entry with this summary hash at `seqno`, where its machine executed the operation; "": none. */
  | { kind: "committed"; seqno: number; hash: string; operation: string }
  /** View `view` starts with these summary hashes, the first at seqno `base`. */
  | { kind: "started"; view: number; base: number; hashes: string[] }
  | { kind: "failure"; replica: number; message: string };

/** The first 16 bytes of a summary hash, in hexadecimal: what a reply carries. */
export const HashDigits = 32;

interface Entry {
  request: number;
  seqno: number;
  hash: string;
}

function sameVote(a: Given, b: Given): boolean {
  return a.view === b.view && sameEntry(a, b);
}

function sameEntry(a: Entry, b: Entry): boolean {
  return a.request === b.request && a.seqno === b.seqno && a.hash === b.hash;
}

type Given = Entry & { view: number };

/** A vote of a lower view than that in which it was given may still show that it was given earlier. */
function superfluous(fact: Fact, given: readonly Given[]): boolean {
  if (fact.kind !== "vote" && fact.kind !== "given") return false;
  return given.some((one) => sameEntry(one, fact) && (fact.kind === "vote" ? fact.view >= one.view : fact.view > one.view));
}

export class Facts {
  private readonly facts: Fact[] = [];
  private readonly known = new Map<string, number>();

  constructor(
    private readonly n: number,
    private readonly guardsOff: number,
  ) {}

  /** All that became known, in words. */
  get all(): string[] {
    return [...this.known.keys()].sort();
  }

  id(fact: Fact): number {
    const key = JSON.stringify(fact);
    let id = this.known.get(key);
    if (id === undefined) {
      id = this.facts.length;
      this.known.set(key, id);
      this.facts.push(fact);
    }
    return id;
  }

  /** undefined: they fit together. */
  contradiction(ids: Iterable<number>): string | undefined {
    const facts = [...ids].map((id) => this.facts[id]!);
    const broken = facts.find((fact) => fact.kind === "failure");
    if (broken?.kind === "failure") return `replica ${broken.replica}: ${broken.message}`;
    const committed = new Map<number, string>();
    const executed = new Map<number, string>();
    for (const fact of facts) {
      if (fact.kind !== "committed") continue;
      const { seqno, hash, operation } = fact;
      const before = committed.get(seqno);
      if (before !== undefined && before !== hash) return `two entries are committed at ${seqno}: ${before} and ${hash}`;
      const other = executed.get(seqno);
      if (other !== undefined && other !== operation) return `replicas committed ${seqno} and executed "${other}" and "${operation}" there`;
      committed.set(seqno, hash);
      executed.set(seqno, operation);
    }
    const accepted = this.accepted(facts);
    for (const one of accepted) {
      const { request, seqno, hash, view } = one;
      const other = accepted.find((a) => a.request === request && (a.seqno !== seqno || a.hash !== hash));
      if (other) return `the client was given operation ${request} at ${seqno} and at ${other.seqno}, as ${hash} and ${other.hash}`;
      const entry = committed.get(seqno);
      if (entry !== undefined && entry !== hash)
        return `the client was given operation ${request} at ${seqno}, where ${entry} is committed`;
      for (const fact of facts) {
        if (fact.kind !== "started" || fact.view < view || seqno < fact.base) continue;
        const there = fact.hashes[seqno - fact.base];
        // Behind the log that its own view starts with, an entry is that view's.
        if (there !== hash && !(there === undefined && fact.view === view))
          return `the client was given operation ${request} at ${seqno} in view ${view}; view ${fact.view} starts without it`;
      }
    }
    return undefined;
  }

  /** The same in fewer: what the client has been given takes the place of the votes for it. */
  settled(ids: Uint32Array): Iterable<number> {
    const given = this.accepted([...ids].map((id) => this.facts[id]!));
    if (given.length === 0) return ids;
    const left = [...ids].filter((id) => !superfluous(this.facts[id]!, given));
    return [...left, ...given.map((one) => this.id({ kind: "given", ...one }))];
  }

  /** Whether `more` says all that `less` does. */
  cover(more: Uint32Array, less: Uint32Array): boolean {
    const given = [...more].flatMap((id) => (this.facts[id]!.kind === "given" ? [this.facts[id] as Given] : []));
    return less.every((id) => more.includes(id) || superfluous(this.facts[id]!, given));
  }

  /**
   * The same without votes that can never be enough, when replica r answers in view `from[r]` and above only; and without the beginnings of
   * views in or below which the client is given nothing more.
   */
  alive(ids: Uint32Array, from: readonly number[]): Uint32Array {
    if (!this.guard(Guard.MatchView) || !this.guard(Guard.MatchHash) || this.contradiction(ids) !== undefined) return ids;
    const facts = [...ids].map((id) => this.facts[id]!);
    const canWin = (fact: Fact & { kind: "vote" }): boolean => {
      const voters = new Set(facts.flatMap((other) => (other.kind === "vote" && sameVote(other, fact) ? [other.from] : [])));
      return from.filter((view, r) => view <= fact.view || voters.has(r)).length >= this.quorum;
    };
    const votes = new Set([...ids].filter((_, i) => facts[i]!.kind === "vote" && canWin(facts[i] as Fact & { kind: "vote" })));
    const lowest = Math.min(...from, ...[...votes].map((id) => (this.facts[id] as Fact & { kind: "vote" }).view));
    return ids.filter((id) => {
      const fact = this.facts[id]!;
      return fact.kind === "vote" ? votes.has(id) : fact.kind !== "started" || fact.view >= lowest;
    });
  }

  /** Equal votes that make a result certain in a SPECULATIVE view; in a LEADER view none do but those for committed entries. */
  private get quorum(): number {
    return this.guard(Guard.SuperQuorum) ? superquorum(this.n) : (this.n + 1) / 2;
  }

  /** What the client was given, each entry in the lowest view that shows it. */
  private accepted(facts: readonly Fact[]): Given[] {
    const votes = new Map<string, { voters: Set<number>; view: number; entry: Entry }>();
    const accepted = new Map<string, Given>();
    const accept = ({ request, seqno, hash }: Entry, view: number): void => {
      const key = `${request} ${seqno} ${hash}`;
      const before = accepted.get(key);
      if (!before || view < before.view) accepted.set(key, { request, seqno, hash, view });
    };
    for (const fact of facts) {
      if (fact.kind === "given" || (fact.kind === "vote" && fact.committed)) accept(fact, fact.view);
      if (fact.kind !== "vote" || fact.mode === Mode.Leader) continue;
      const view = this.guard(Guard.MatchView) ? fact.view : "";
      const key = `${fact.request} ${fact.seqno} ${view} ${this.guard(Guard.MatchHash) ? fact.hash : ""}`;
      const vote = votes.get(key) ?? { voters: new Set(), view: fact.view, entry: fact };
      vote.voters.add(fact.from);
      vote.view = Math.max(vote.view, fact.view);
      votes.set(key, vote);
      if (vote.voters.size >= this.quorum) accept(vote.entry, vote.view);
    }
    return [...accepted.values()];
  }

  private guard(bit: number): boolean {
    return (this.guardsOff & bit) === 0;
  }
}
