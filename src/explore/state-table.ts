/**
 * The states that were found, with how each was reached. A state is a fixed number of words; memory grows in chunks, outside of the
 * JavaScript heap. Of states whose first words are alike only those are kept in sight that no other covers.
 */

const ChunkStates = 1 << 18;
const FirstSlots = 1 << 20;
/** Of the hash table's slots. */
const FullestShare = 0.7;
/** Behind the words of a state: how it was reached, and the next one with the same first words (its number + 1; 0: none). */
const Parent = 0;
const Replica = 1;
const Event = 2;
const Next = 3;
const MoreWords = 4;
const Covered = 0xffff_ffff;

export interface TableOptions {
  /** Words of a state. */
  words: number;
  /** The first of them, in which two states must be alike for one to cover the other. */
  keyWords: number;
  /** Whether a state covers another, or is equal; each begins at an index of its words. */
  covers: (words: Uint32Array, state: number, otherWords: Uint32Array, other: number) => boolean;
}

export class StateTable {
  count = 0;
  /** How many were found to be covered by one that came later. */
  covered = 0;
  private readonly stride: number;
  private readonly chunks: Uint32Array[] = [];
  /** By the first words: number of the newest such state + 1; 0: free. */
  private slots = new Uint32Array(FirstSlots);
  private used = 0;

  constructor(private readonly options: TableOptions) {
    this.stride = options.words + MoreWords;
  }

  /** Bytes in use. */
  get bytes(): number {
    return this.chunks.length * ChunkStates * this.stride * 4 + this.slots.byteLength;
  }

  /** True when no state that is there covers it: its number is then count - 1. */
  add(state: Uint32Array, parent: number, replica: number, event: number): boolean {
    const slot = this.slotOf(state, 0);
    const head = this.slots[slot]!;
    const first = this.withoutCovered(head, state);
    if (first === Covered) return false;
    const number = this.count++;
    if (head === 0) this.used++;
    this.slots[slot] = this.count;
    if (number % ChunkStates === 0) this.chunks.push(new Uint32Array(ChunkStates * this.stride));
    const chunk = this.chunkOf(number);
    const at = this.at(number);
    chunk.set(state, at);
    const more = at + this.options.words;
    chunk[more + Parent] = parent;
    chunk[more + Replica] = replica;
    chunk[more + Event] = event;
    chunk[more + Next] = first;
    if (this.used > this.slots.length * FullestShare) this.grow();
    return true;
  }

  read(number: number, out: Uint32Array): void {
    const chunk = this.chunkOf(number);
    const at = this.at(number);
    for (let i = 0; i < this.options.words; i++) out[i] = chunk[at + i]!;
  }

  /** Whether one that was found later covers it. */
  isCovered(number: number): boolean {
    return this.nextOf(number) === Covered;
  }

  /** How it was reached first. */
  origin(number: number): { parent: number; replica: number; event: number } {
    const chunk = this.chunkOf(number);
    const at = this.at(number) + this.options.words;
    return { parent: chunk[at + Parent]!, replica: chunk[at + Replica]!, event: chunk[at + Event]! | 0 };
  }

  /** The list that begins with `head`, without the states that `state` covers; Covered: one of the list covers it. */
  private withoutCovered(head: number, state: Uint32Array): number {
    const { covers } = this.options;
    for (let link = head; link !== 0; link = this.nextOf(link - 1)) {
      if (covers(this.chunkOf(link - 1), this.at(link - 1), state, 0)) return Covered;
    }
    let first = head;
    let last = 0;
    for (let link = head; link !== 0; ) {
      const next = this.nextOf(link - 1);
      if (covers(state, 0, this.chunkOf(link - 1), this.at(link - 1))) {
        if (last === 0) first = next;
        else this.setNext(last - 1, next);
        this.setNext(link - 1, Covered);
        this.covered++;
      } else {
        last = link;
      }
      link = next;
    }
    return first;
  }

  private nextOf(number: number): number {
    return this.chunkOf(number)[this.at(number) + this.options.words + Next]!;
  }

  private setNext(number: number, next: number): void {
    this.chunkOf(number)[this.at(number) + this.options.words + Next] = next;
  }

  private chunkOf(number: number): Uint32Array {
    return this.chunks[Math.floor(number / ChunkStates)]!;
  }

  private at(number: number): number {
    return (number % ChunkStates) * this.stride;
  }

  /** Where states with the first words of this one are, or belong. */
  private slotOf(words: Uint32Array, state: number): number {
    let slot = hashOf(words, state, this.options.keyWords) % this.slots.length;
    for (; this.slots[slot] !== 0; slot = slot + 1 === this.slots.length ? 0 : slot + 1) {
      if (this.hasKey(this.slots[slot]! - 1, words, state)) break;
    }
    return slot;
  }

  private hasKey(number: number, words: Uint32Array, state: number): boolean {
    const chunk = this.chunkOf(number);
    const at = this.at(number);
    for (let i = 0; i < this.options.keyWords; i++) if (chunk[at + i] !== words[state + i]) return false;
    return true;
  }

  private grow(): void {
    const heads = this.slots;
    this.slots = new Uint32Array(heads.length * 2);
    for (const head of heads) {
      if (head !== 0) this.slots[this.slotOf(this.chunkOf(head - 1), this.at(head - 1))] = head;
    }
  }
}

/** Mixes each word by a multiplication and a shift; 32 bits are enough to find a slot, what is there is compared. */
function hashOf(words: Uint32Array, from: number, count: number): number {
  let hash = 0x9e3779b9;
  for (let i = from; i < from + count; i++) {
    hash = Math.imul(hash ^ words[i]!, 0x85ebca6b);
    hash ^= hash >>> 15;
    hash = Math.imul(hash, 0xc2b2ae35);
    hash ^= hash >>> 13;
  }
  return hash >>> 0;
}
