/** Operations that wait for a free place in the window: a ring of bounded length whose small operations lie in one block. */
import { Pending } from "./completions.js";

const InlineBytes = 1024;

export class WaitQueue {
  readonly #capacity: number;
  readonly #entries: Pending[] = [];
  readonly #lengths: number[] = [];
  readonly #large: (Uint8Array | undefined)[] = [];
  #block: Uint8Array | undefined;
  #head = 0;
  #length = 0;

  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  get length(): number {
    return this.#length;
  }
  get full(): boolean {
    return this.#length === this.#capacity;
  }

  /** Copies the operation and returns the entry to fill. The queue must not be full. */
  push(operation: Uint8Array): Pending {
    const index = (this.#head + this.#length++) % this.#capacity;
    const length = operation.length;
    this.#lengths[index] = length;
    if (length <= InlineBytes) {
      this.#block ??= new Uint8Array(this.#capacity * InlineBytes);
      copySmall(operation, this.#block, index * InlineBytes);
      this.#large[index] = undefined;
    } else {
      this.#large[index] = operation.slice();
    }
    let entry = this.#entries[index];
    if (entry === undefined) {
      entry = new Pending();
      this.#entries[index] = entry;
    }
    entry.active = true;
    return entry;
  }

  /** The oldest entry; undefined when there is none. */
  peek(): Pending | undefined {
    return this.#length === 0 ? undefined : this.#entries[this.#head];
  }
  peekLength(): number {
    return this.#lengths[this.#head] as number;
  }

  /** Copies the oldest operation to `target` at `offset`. */
  copyTo(target: Uint8Array, offset: number): void {
    const large = this.#large[this.#head];
    if (large !== undefined) {
      target.set(large, offset);
      return;
    }
    const start = this.#head * InlineBytes;
    const length = this.#lengths[this.#head] as number;
    const block = this.#block as Uint8Array;
    for (let i = 0; i < length; i++) target[offset + i] = block[start + i] as number;
  }

  /** Forgets the oldest. */
  shift(): void {
    this.#large[this.#head] = undefined;
    this.#entries[this.#head]?.clear();
    this.#head = (this.#head + 1) % this.#capacity;
    this.#length--;
  }
}

/** For some bytes a loop beats the call of `set`. */
export function copySmall(from: Uint8Array, to: Uint8Array, offset: number): void {
  const length = from.length;
  if (length > 128) to.set(from, offset);
  else for (let i = 0; i < length; i++) to[offset + i] = from[i] as number;
}
