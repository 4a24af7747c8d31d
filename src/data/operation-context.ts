import type { OperationContext } from "../machine.js";
import { ReplicaRow } from "./binding.js";
import { joinWords } from "./seqno.js";

/**
 * Clock and randomness of the row under execution. One object for all operations: it reads the row when it is asked,
 * and costs nothing otherwise.
 */
export class RowContext implements OperationContext {
  readonly #rows: Uint32Array;
  #base = 0;
  #seeded = false;
  #a = 0;
  #b = 0;
  #c = 0;
  #counter = 0;

  constructor(rows: Uint32Array) {
    this.#rows = rows;
  }

  /** Now speaks for the row that starts at `base`. */
  enter(base: number): void {
    this.#base = base;
    this.#seeded = false;
  }

  get timeMs(): number {
    const base = this.#base;
    const us = joinWords(this.#rows[base + ReplicaRow.TimeLo] as number, this.#rows[base + ReplicaRow.TimeHi] as number);
    return Math.floor(us / 1000);
  }

  /** sfc32, seeded by seqno and time, which every replica sees alike. */
  random(): number {
    if (!this.#seeded) this.#seed();
    const sum = (((this.#a + this.#b) | 0) + this.#counter) | 0;
    this.#counter = (this.#counter + 1) | 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = (((this.#c << 21) | (this.#c >>> 11)) + sum) | 0;
    return (sum >>> 0) / 0x1_0000_0000;
  }

  #seed(): void {
    const base = this.#base;
    this.#a = this.#rows[base + ReplicaRow.SeqnoLo] as number | 0;
    this.#b = this.#rows[base + ReplicaRow.TimeLo] as number | 0;
    this.#c =
      ((this.#rows[base + ReplicaRow.SeqnoHi] as number) ^ Math.imul(this.#rows[base + ReplicaRow.TimeHi] as number, 0x9e3779b1)) | 0;
    this.#counter = 1;
    this.#seeded = true;
    for (let i = 0; i < 12; i++) this.random(); // sfc32 mixes a poor seed within a dozen steps
  }
}
