/** Random operations, all from one seed. */
import { SquallError } from "../errors.js";

/** A module's own maker of operations: one operation from numbers in [0, 1). */
export type SampleOperation = (random: () => number) => Uint8Array;

/** sfc32: small, fast, and the same everywhere. */
export class Sfc32 {
  #a = 0x9e3779b9;
  #b = 0x243f6a88;
  #c: number;
  #counter = 1;

  constructor(seed: number) {
    this.#c = seed | 0;
    for (let i = 0; i < 12; i++) this.next(); // a poor seed is mixed within a dozen steps
  }

  /** The next number in [0, 1). */
  next(): number {
    const sum = (((this.#a + this.#b) | 0) + this.#counter) | 0;
    this.#counter = (this.#counter + 1) | 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = (((this.#c << 21) | (this.#c >>> 11)) + sum) | 0;
    return (sum >>> 0) / 0x1_0000_0000;
  }
}

const firstTimeMs = Date.UTC(2026, 0, 1);

export class OperationSource {
  readonly #numbers: Sfc32;
  readonly #maxBytes: number;
  readonly #sample: SampleOperation | undefined;
  #timeMs = firstTimeMs;

  constructor(seed: number, maxBytes: number, sample: SampleOperation | undefined) {
    this.#numbers = new Sfc32(seed);
    this.#maxBytes = maxBytes;
    this.#sample = sample;
  }

  random(): number {
    return this.#numbers.next();
  }

  below(bound: number): number {
    return Math.floor(this.random() * bound);
  }

  /** Logical time of the next operation; never runs backwards. */
  timeMs(): number {
    this.#timeMs += this.below(5);
    return this.#timeMs;
  }

  operation(): Buffer {
    if (this.#sample !== undefined) return this.#sampled(this.#sample);
    const lengths = [0, 1, 4, 8, 16, 32, this.below(this.#maxBytes + 1)];
    const bytes = Buffer.alloc(Math.min(lengths[this.below(lengths.length)]!, this.#maxBytes));
    for (let i = 0; i < bytes.length; i++) bytes[i] = this.below(256);
    // Many machines take a small first byte as the kind of operation.
    if (bytes.length > 0 && this.random() < 0.5) bytes[0] = this.below(8);
    return bytes;
  }

  #sampled(sample: SampleOperation): Buffer {
    const made: unknown = sample(() => this.random());
    if (made instanceof Uint8Array) return Buffer.from(made);
    throw new SquallError("MACHINE_INVALID", "sampleOperation(random) must return a Uint8Array.");
  }
}
