/** All states that were found, each once, with how it was reached. A state is a fixed number of words; memory grows in chunks. */

const ChunkStates = 1 << 18;
const FirstSlots = 1 << 20;
/** Of the hash table's slots. */
const FullestShare = 0.7;

export class StateTable {
  count = 0;
  private readonly words: number;
  private readonly stride: number;
  private readonly chunks: Uint32Array[] = [];
  /** Number of the state + 1; 0: free. */
  private slots = new Uint32Array(FirstSlots);

  /** `words` of each state, and three more for the way to it. */
  constructor(words: number) {
    this.words = words;
    this.stride = words + 3;
  }

  /** Bytes in use. */
  get bytes(): number {
    return this.chunks.length * ChunkStates * this.stride * 4 + this.slots.byteLength;
  }

  /** True when it is new: its number is then count - 1. */
  add(state: Uint32Array, parent: number, replica: number, event: number): boolean {
    let slot = hashOf(state) % this.slots.length;
    for (; this.slots[slot] !== 0; slot = slot + 1 === this.slots.length ? 0 : slot + 1) {
      if (this.equals(this.slots[slot]! - 1, state)) return false;
    }
    const number = this.count++;
    this.slots[slot] = this.count;
    if (number % ChunkStates === 0) this.chunks.push(new Uint32Array(ChunkStates * this.stride));
    const chunk = this.chunks[this.chunks.length - 1]!;
    const at = (number % ChunkStates) * this.stride;
    chunk.set(state, at);
    chunk[at + this.words] = parent;
    chunk[at + this.words + 1] = replica;
    chunk[at + this.words + 2] = event;
    if (this.count > this.slots.length * FullestShare) this.grow();
    return true;
  }

  read(number: number, out: Uint32Array): void {
    const chunk = this.chunks[Math.floor(number / ChunkStates)]!;
    const at = (number % ChunkStates) * this.stride;
    for (let i = 0; i < this.words; i++) out[i] = chunk[at + i]!;
  }

  /** How it was reached first. */
  origin(number: number): { parent: number; replica: number; event: number } {
    const chunk = this.chunks[Math.floor(number / ChunkStates)]!;
    const at = (number % ChunkStates) * this.stride + this.words;
    return { parent: chunk[at]!, replica: chunk[at + 1]!, event: chunk[at + 2]! | 0 };
  }

  private equals(number: number, state: Uint32Array): boolean {
    const chunk = this.chunks[Math.floor(number / ChunkStates)]!;
    const at = (number % ChunkStates) * this.stride;
    for (let i = 0; i < this.words; i++) if (chunk[at + i] !== state[i]) return false;
    return true;
  }

  private grow(): void {
    this.slots = new Uint32Array(this.slots.length * 2);
    const state = new Uint32Array(this.words);
    for (let number = 0; number < this.count; number++) {
      this.read(number, state);
      let slot = hashOf(state) % this.slots.length;
      while (this.slots[slot] !== 0) slot = slot + 1 === this.slots.length ? 0 : slot + 1;
      this.slots[slot] = number + 1;
    }
  }
}

/** Mixes each word by a multiplication and a shift; 32 bits are enough to find a slot, what is there is compared. */
function hashOf(state: Uint32Array): number {
  let hash = 0x9e3779b9;
  for (const word of state) {
    hash = Math.imul(hash ^ word, 0x85ebca6b);
    hash ^= hash >>> 15;
    hash = Math.imul(hash, 0xc2b2ae35);
    hash ^= hash >>> 13;
  }
  return hash >>> 0;
}
