/** Sets of small numbers, each kept once and named by a number of its own; 0 is the empty set. */

export class IdSets {
  private readonly sets: Uint32Array[] = [new Uint32Array(0)];
  private readonly known = new Map<string, number>([["", 0]]);
  /** A bit for each member, which others share: what is missing here is missing there. */
  private readonly signatures: number[] = [0];
  private readonly unions: Map<number, number>[] = [new Map()];

  get count(): number {
    return this.sets.length;
  }

  /** Ascending. */
  members(set: number): Uint32Array {
    return this.sets[set]!;
  }

  of(ids: Iterable<number>): number {
    return this.intern(Uint32Array.from(new Set(ids)).sort());
  }

  union(a: number, b: number): number {
    if (a === b || b === 0) return a;
    if (a === 0) return b;
    const known = this.unions[a]!;
    let set = known.get(b);
    if (set === undefined) {
      set = this.intern(merged(this.sets[a]!, this.sets[b]!));
      known.set(b, set);
    }
    return set;
  }

  /** Whether all that is in `less` is in `more`. */
  includes(more: number, less: number): boolean {
    if (more === less || less === 0) return true;
    if ((this.signatures[less]! & ~this.signatures[more]!) !== 0) return false;
    const all = this.sets[more]!;
    const some = this.sets[less]!;
    if (some.length > all.length) return false;
    let at = 0;
    for (const id of some) {
      while (at < all.length && all[at]! < id) at++;
      if (all[at] !== id) return false;
    }
    return true;
  }

  filter(set: number, keep: (id: number) => boolean): number {
    const kept = this.sets[set]!.filter(keep);
    return kept.length === this.sets[set]!.length ? set : this.intern(kept);
  }

  /** `sorted`: ascending, each once. */
  private intern(sorted: Uint32Array): number {
    let key = "";
    for (const id of sorted) key += id < Wide ? String.fromCharCode(id) : String.fromCharCode(Wide, id >>> 15, id & 0x7fff);
    let set = this.known.get(key);
    if (set === undefined) {
      set = this.sets.length;
      this.known.set(key, set);
      this.sets.push(sorted);
      this.signatures.push(sorted.reduce((bits, id) => bits | (1 << (id & 31)), 0));
      this.unions.push(new Map());
    }
    return set;
  }
}

/** Larger numbers take three places in a key. */
const Wide = 0xffff;

/** Both ascending, and the result. */
function merged(a: Uint32Array, b: Uint32Array): Uint32Array {
  const out = new Uint32Array(a.length + b.length);
  let length = 0;
  for (let i = 0, k = 0; i < a.length || k < b.length; ) {
    const next = Math.min(a[i] ?? Number.POSITIVE_INFINITY, b[k] ?? Number.POSITIVE_INFINITY);
    if (a[i] === next) i++;
    if (b[k] === next) k++;
    out[length++] = next;
  }
  return out.slice(0, length);
}
