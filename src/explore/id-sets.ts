/** Sets of small numbers, each kept once and named by a number of its own; 0 is the empty set. There are millions: kept as plain numbers. */
import { GrowingWords } from "./words.js";

const FirstSlots = 1 << 12;
/** Of the hash table's slots. */
const FullestShare = 0.6;
const CachedUnions = 1 << 18;

export class IdSets {
  /** The members of all sets, one set after the other. */
  private readonly pool = new GrowingWords();
  /** Where each set ends in the pool, and the next one begins. */
  private readonly ends = new GrowingWords();
  /** A bit for each member, which others share: what is missing here is missing there. */
  private readonly signatures = new GrowingWords();
  private slots = new Uint32Array(FirstSlots);
  private scratch = new Uint32Array(64);
  /** Unions that were asked for lately: two sets and their union each. */
  private readonly unions = new Uint32Array(3 * CachedUnions);

  constructor() {
    this.ends.push(0);
    this.signatures.push(0);
  }

  get count(): number {
    return this.ends.length;
  }

  /** Ascending. Valid until the next set is made. */
  members(set: number): Uint32Array {
    return this.pool.words.subarray(this.start(set), this.ends.words[set]);
  }

  of(ids: Iterable<number>): number {
    const sorted = Uint32Array.from(new Set(ids)).sort();
    return this.intern(sorted, sorted.length);
  }

  union(a: number, b: number): number {
    if (a === b || b === 0) return a;
    if (a === 0) return b;
    const { unions } = this;
    const at = 3 * ((Math.imul(a, 0x9e3779b1) ^ Math.imul(b, 0x85ebca6b)) >>> 14);
    if (unions[at] !== a || unions[at + 1] !== b) {
      unions[at + 2] = this.includes(a, b) ? a : this.makeUnion(a, b);
      unions[at] = a;
      unions[at + 1] = b;
    }
    return unions[at + 2]!;
  }

  /** Whether all that is in `less` is in `more`. */
  includes(more: number, less: number): boolean {
    if (more === less || less === 0) return true;
    const signatures = this.signatures.words;
    if ((signatures[less]! & ~signatures[more]!) !== 0) return false;
    const pool = this.pool.words;
    const end = this.ends.words[more]!;
    const lessEnd = this.ends.words[less]!;
    let at = this.start(more);
    let i = this.start(less);
    if (lessEnd - i > end - at) return false;
    for (; i < lessEnd; i++) {
      const id = pool[i]!;
      while (at < end && pool[at]! < id) at++;
      if (at === end || pool[at] !== id) return false;
    }
    return true;
  }

  filter(set: number, keep: (id: number) => boolean): number {
    const members = this.members(set);
    const kept = members.filter(keep);
    return kept.length === members.length ? set : this.intern(kept, kept.length);
  }

  private start(set: number): number {
    return set === 0 ? 0 : this.ends.words[set - 1]!;
  }

  private makeUnion(a: number, b: number): number {
    const pool = this.pool.words;
    const endOfA = this.ends.words[a]!;
    const endOfB = this.ends.words[b]!;
    let i = this.start(a);
    let k = this.start(b);
    const most = endOfA - i + endOfB - k;
    if (most > this.scratch.length) this.scratch = new Uint32Array(2 * most);
    const out = this.scratch;
    let length = 0;
    while (i < endOfA || k < endOfB) {
      const fromA = i < endOfA ? pool[i]! : 0xffff_ffff;
      const fromB = k < endOfB ? pool[k]! : 0xffff_ffff;
      if (fromA <= fromB) i++;
      if (fromB <= fromA) k++;
      out[length++] = fromA < fromB ? fromA : fromB;
    }
    return this.intern(out, length);
  }

  /** `ids`: ascending, each once. */
  private intern(ids: Uint32Array, length: number): number {
    if (length === 0) return 0;
    let slot = this.slotOf(ids, 0, length);
    const known = this.slots[slot]!;
    if (known !== 0) return known;
    const set = this.count;
    let signature = 0;
    for (let i = 0; i < length; i++) {
      this.pool.push(ids[i]!);
      signature |= 1 << (ids[i]! & 31);
    }
    this.ends.push(this.pool.length);
    this.signatures.push(signature);
    if (set > this.slots.length * FullestShare) {
      this.grow();
      slot = this.slotOf(this.pool.words, this.start(set), length);
    }
    this.slots[slot] = set;
    return set;
  }

  /** Where the set is, or belongs. */
  private slotOf(ids: Uint32Array, from: number, length: number): number {
    let hash = length;
    for (let i = from; i < from + length; i++) {
      hash = Math.imul(hash ^ ids[i]!, 0x85ebca6b);
      hash ^= hash >>> 15;
    }
    const mask = this.slots.length - 1;
    let slot = (hash ^ (hash >>> 13)) & mask;
    while (this.slots[slot] !== 0 && !this.equals(this.slots[slot]!, ids, from, length)) slot = (slot + 1) & mask;
    return slot;
  }

  private equals(set: number, ids: Uint32Array, from: number, length: number): boolean {
    const start = this.start(set);
    if (this.ends.words[set]! - start !== length) return false;
    const pool = this.pool.words;
    for (let i = 0; i < length; i++) if (pool[start + i] !== ids[from + i]) return false;
    return true;
  }

  private grow(): void {
    const sets = this.slots;
    this.slots = new Uint32Array(2 * sets.length);
    for (const set of sets) {
      if (set === 0) continue;
      const start = this.start(set);
      this.slots[this.slotOf(this.pool.words, start, this.ends.words[set]! - start)] = set;
    }
  }
}
