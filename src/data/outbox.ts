/** Requests and reads on their way to the native client engine: rows and an arena for one flush, which leaves when no more are coming. */
import type { Consistency } from "./binding.js";

/** Words of a row: slot, offset, length, flags (of a read: its consistency). */
const RowWords = 4;
/** A flush waits while microtasks keep adding requests, at most so many rounds. */
const CoalesceRounds = 3;
/** A microtask by way of a promise costs a tenth of queueMicrotask, which makes an asynchronous resource of each. */
const settled = Promise.resolve();

export class Outbox {
  readonly requestRows: Uint32Array;
  readonly readRows: Uint32Array;
  readonly arena: Uint8Array;
  /** Set while nobody may flush by itself: within an upcall, at whose end all leaves, and over the loop. */
  held = false;
  readonly #send: (requests: number, reads: number) => void;
  readonly #soon = (): void => this.#flushWhenQuiet();
  #requests = 0;
  #reads = 0;
  #end = 0;
  #scheduled = false;
  #seen = 0;
  #rounds = 0;

  /** `arenaBytes`: at least the largest operation. `send` gives the rows that were written to the engine. */
  constructor(window: number, readWindow: number, arenaBytes: number, send: (requests: number, reads: number) => void) {
    this.requestRows = new Uint32Array(window * RowWords);
    this.readRows = new Uint32Array(readWindow * RowWords);
    this.arena = new Uint8Array(arenaBytes);
    this.#send = send;
  }

  get empty(): boolean {
    return this.#requests === 0 && this.#reads === 0;
  }

  /** Where the next operation of `length` bytes goes in the arena. May flush what is there. */
  offsetFor(length: number): number {
    if (this.#end + length > this.arena.length) this.flush();
    return this.#end;
  }

  /** The operation lies where offsetFor said. */
  addRequest(slot: number, length: number, flags: number): void {
    this.#add(this.requestRows, this.#requests++, slot, length, flags);
  }
  addRead(slot: number, length: number, consistency: Consistency): void {
    this.#add(this.readRows, this.#reads++, slot, length, consistency);
  }

  flush(): void {
    const requests = this.#requests;
    const reads = this.#reads;
    if (requests + reads === 0) return;
    this.#requests = 0;
    this.#reads = 0;
    this.#end = 0;
    this.#send(requests, reads);
  }

  /** At the end of the microtasks that are running, or a little later. */
  flushSoon(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    this.#seen = 0;
    this.#rounds = 0;
    void settled.then(this.#soon);
  }

  #add(rows: Uint32Array, row: number, slot: number, length: number, flags: number): void {
    const base = row * RowWords;
    rows[base] = slot;
    rows[base + 1] = this.#end;
    rows[base + 2] = length;
    rows[base + 3] = flags;
    this.#end += length;
    if (!this.held) this.flushSoon();
  }

  /** What one run of microtasks issues leaves together: a flush steps back while more keeps coming. */
  #flushWhenQuiet(): void {
    const written = this.#requests + this.#reads;
    if (written > this.#seen && this.#rounds < CoalesceRounds && written > 1) {
      this.#seen = written;
      this.#rounds++;
      void settled.then(this.#soon);
      return;
    }
    this.#scheduled = false;
    this.flush();
  }
}
