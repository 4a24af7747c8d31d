/** The reads of one client session: slots of those under way, and the queue behind them. */
import type { Consistency } from "./binding.js";
import { Pending } from "./completions.js";
import type { Outbox } from "./outbox.js";
import { copySmall, WaitQueue } from "./wait-queue.js";

/** Reads under way at once. */
export const ReadWindowSize = 64;

export class ReadWindow {
  readonly #outbox: Outbox;
  readonly #slots = Array.from({ length: ReadWindowSize }, () => new Pending());
  readonly #free = Array.from({ length: ReadWindowSize }, (_, slot) => slot);
  readonly #queue: WaitQueue;

  constructor(queueLength: number, outbox: Outbox) {
    this.#queue = new WaitQueue(queueLength);
    this.#outbox = outbox;
  }

  get outstanding(): number {
    return ReadWindowSize - this.#free.length;
  }
  get queued(): number {
    return this.#queue.length;
  }
  /** Whether a read would leave at once. */
  get open(): boolean {
    return this.#free.length > 0 && this.#queue.length === 0;
  }
  get queueFull(): boolean {
    return this.#queue.full;
  }

  /** A free slot must be there. `entry.flags` is the read's Consistency. */
  issue(entry: Pending, operation: Uint8Array): void {
    copySmall(operation, this.#outbox.arena, this.#outbox.offsetFor(operation.length));
    this.#take(entry, operation.length);
  }

  /** The queue must have a place. */
  wait(entry: Pending, operation: Uint8Array): void {
    this.#queue.push(operation).take(entry);
  }

  /** Moves what waits into the slots that are free. */
  drain(): void {
    for (;;) {
      const entry = this.#queue.peek();
      if (entry === undefined) return;
      if (entry.cancellation?.settled !== true) {
        if (this.#free.length === 0) return;
        const length = this.#queue.peekLength();
        this.#queue.copyTo(this.#outbox.arena, this.#outbox.offsetFor(length));
        this.#take(entry, length);
      }
      this.#queue.shift();
    }
  }

  /** Frees a slot; what it held, until the next call. */
  complete(slot: number): Pending | undefined {
    const pending = this.#slots[slot];
    if (pending?.active !== true) return undefined;
    this.#free.push(slot);
    return pending;
  }

  /** Hands out and forgets all that is under way, then all that waits. */
  failAll(underWay: (pending: Pending) => void, waiting: (pending: Pending) => void): void {
    this.#slots.forEach((pending, slot) => {
      if (this.complete(slot) !== undefined) underWay(pending);
    });
    // Callbacks may submit again; what they add is judged anew.
    for (let left = this.#queue.length; left > 0; left--) {
      const entry = new Pending();
      entry.take(this.#queue.peek() as Pending);
      this.#queue.shift();
      waiting(entry);
    }
  }

  #take(entry: Pending, length: number): void {
    const slot = this.#free.pop() as number;
    const pending = this.#slots[slot] as Pending;
    pending.take(entry);
    if (pending.cancellation !== undefined) pending.cancellation.sent = true;
    this.#outbox.addRead(slot, length, pending.flags as Consistency);
  }
}
