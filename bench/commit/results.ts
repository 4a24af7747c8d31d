/**
 * Checks every result of a counter that only ever grows by one: results are distinct, lie right above the value before the run,
 * and are larger than every result that had arrived before the operation was issued (real time order).
 */
export class ResultChecker {
  readonly #seen: Uint8Array;
  readonly wrong: string[] = [];
  #base = 0;
  #highest = 0;
  #count = 0;

  constructor(maxOperations: number) {
    this.#seen = new Uint8Array(maxOperations >> 3);
  }

  start(base: number): void {
    this.#base = base;
    this.#highest = base;
    this.#count = 0;
    this.#seen.fill(0);
    this.wrong.length = 0;
  }

  /** The largest result so far: to be taken when an operation is issued, and handed to check() with its result. */
  get highest(): number {
    return this.#highest;
  }

  get count(): number {
    return this.#count;
  }

  get full(): boolean {
    return this.#highest - this.#base >= this.#seen.length * 8 - 65_536;
  }

  check(value: number, highestAtIssue: number): void {
    const index = value - this.#base - 1;
    const byte = index >> 3;
    const bit = 1 << (index & 7);
    if (!(index >= 0 && byte < this.#seen.length && Number.isInteger(index)))
      this.#report(`result ${value} lies outside of the run (base ${this.#base})`);
    else if ((this.#seen[byte]! & bit) !== 0) this.#report(`result ${value} came twice`);
    else this.#seen[byte]! |= bit;
    if (value <= highestAtIssue) this.#report(`result ${value} of an operation issued after ${highestAtIssue} was known`);
    if (value > this.#highest) this.#highest = value;
    this.#count++;
  }

  /** The bits of all results, cut to what was used. */
  bits(): Uint8Array {
    return this.#seen.slice(0, (this.#highest - this.#base + 7) >> 3);
  }

  #report(what: string): void {
    if (this.wrong.length < 10) this.wrong.push(what);
  }
}

/**
 * The union of several clients' results must be exactly base + 1 .. base + operations, each once; an operation that failed may
 * have been executed without anybody knowing its result. Returns what is wrong.
 */
export function checkUnion(parts: readonly Uint8Array[], operations: number, failed: number): string[] {
  const total = operations + failed;
  const union = new Uint8Array((total + 7) >> 3);
  for (const part of parts) {
    for (let i = 0; i < part.length; i++) {
      if (i >= union.length) {
        if (part[i] !== 0) return [`a result lies above the number of operations (${total})`];
        continue;
      }
      if ((union[i]! & part[i]!) !== 0) return ["two clients received the same result"];
      union[i]! |= part[i]!;
    }
  }
  let missing = 0;
  for (let i = 0; i < total; i++) if ((union[i >> 3]! & (1 << (i & 7))) === 0) missing++;
  return missing > failed ? [`${missing} results below ${total} were received by no client`] : [];
}
