/** A client's load: lanes that each keep one operation outstanding, with every result verified. */
import { build, type Histogram } from "hdr-histogram-js";
import type { Client } from "../../index.js";

const longestUs = 60_000_000;

export class Load {
  readonly latenciesUs: Histogram = build({
    lowestDiscernibleValue: 1,
    highestTrackableValue: longestUs,
    numberOfSignificantValueDigits: 3,
  });
  completed = 0;
  /** The first few results that can't be right, and operations that failed. */
  readonly problems: string[] = [];
  readonly #client: Client;
  readonly #maxOperations: number;
  /** Which values of the counter have been returned: one bit each. */
  readonly #seen: Uint8Array;
  readonly #operation = Buffer.from([1, 0, 0, 0]);
  #issued = 0;
  #highest = 0;
  #running = true;
  #lanes: Promise<void>[] = [];

  constructor(client: Client, maxOperations: number) {
    this.#client = client;
    this.#maxOperations = maxOperations;
    this.#seen = new Uint8Array((maxOperations >> 3) + 1);
  }

  start(lanes: number): void {
    this.#lanes = Array.from({ length: lanes }, () => this.#lane());
  }

  /** Issues no more; resolves when every operation is answered. */
  async stop(): Promise<void> {
    this.#running = false;
    await Promise.all(this.#lanes);
    if (this.#highest !== this.completed) this.#report(`${this.completed} additions of 1 gave ${this.#highest}`);
  }

  /** Each operation adds 1 to a counter that nobody else uses, so the result is its place among all operations. */
  async #lane(): Promise<void> {
    while (this.#running && this.#issued < this.#maxOperations) {
      this.#issued++;
      const before = this.#highest;
      const startedMs = performance.now();
      try {
        const value = Buffer.from(await this.#client.invoke(this.#operation)).readDoubleLE(0);
        this.latenciesUs.recordValue(Math.min(longestUs, Math.max(1, Math.round((performance.now() - startedMs) * 1000))));
        this.#verify(value, before);
      } catch (error) {
        this.#report(`an operation failed: ${error instanceof Error ? error.message : String(error)}`);
        return;
      }
    }
  }

  #verify(value: number, before: number): void {
    const bit = 1 << (value & 7);
    // A result that was handed out before this operation began, or that belongs to another one, is not linearizable.
    if (!Number.isInteger(value) || value <= before || value > this.#issued)
      this.#report(`result ${value}, expected one from ${before + 1} to ${this.#issued}`);
    else if (this.#seen[value >> 3]! & bit) this.#report(`result ${value} twice`);
    else this.#seen[value >> 3]! |= bit;
    if (value > this.#highest) this.#highest = value;
    this.completed++;
  }

  #report(problem: string): void {
    if (this.problems.length < 5) this.problems.push(problem);
  }
}
