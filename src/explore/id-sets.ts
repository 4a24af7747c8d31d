/** Sets of small numbers, each kept once and named by a number of its own; 0 is the empty set. */

export class IdSets {
  private readonly sets: Uint32Array[] = [new Uint32Array(0)];
  private readonly known = new Map<string, number>([["", 0]]);
  private readonly unions: Map<number, number>[] = [new Map()];

  get count(): number {
    return this.sets.length;
  }

  /** Ascending. */
  members(set: number): Uint32Array {
    return this.sets[set]!;
  }

  of(ids: Iterable<number>): number {
    const sorted = Uint32Array.from(new Set(ids)).sort();
    const key = sorted.join();
    let set = this.known.get(key);
    if (set === undefined) {
      set = this.sets.length;
      this.known.set(key, set);
      this.sets.push(sorted);
      this.unions.push(new Map());
    }
    return set;
  }

  union(a: number, b: number): number {
    if (a === b || b === 0) return a;
    if (a === 0) return b;
    const known = this.unions[a]!;
    let set = known.get(b);
    if (set === undefined) {
      set = this.of([...this.sets[a]!, ...this.sets[b]!]);
      known.set(b, set);
    }
    return set;
  }

  filter(set: number, keep: (id: number) => boolean): number {
    const kept = this.sets[set]!.filter(keep);
    return kept.length === this.sets[set]!.length ? set : this.of(kept);
  }
}
