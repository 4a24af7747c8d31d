/**
 * The simulator's randomness: sfc32, a small generator on u32 arithmetic that passes PractRand. Everything random in a run
 * comes from one seed through named streams, so that a draw added to one part changes nothing in the others.
 */
export class Prng {
  private a: number;
  private b: number;
  private c: number;
  private counter = 1;

  /** `seed` is an integer in [0, 2^53); `stream` names a part of the run. */
  constructor(
    private readonly seed: number,
    private readonly stream: string,
  ) {
    this.a = seed >>> 0;
    this.b = Math.floor(seed / 2 ** 32) >>> 0;
    this.c = hashName(stream);
    for (let round = 0; round < 15; round++) this.u32();
  }

  /** An independent stream of the same seed. */
  split(name: string): Prng {
    return new Prng(this.seed, `${this.stream}/${name}`);
  }

  /** Uniform in [0, 2^32). */
  u32(): number {
    const t = (((this.a + this.b) | 0) + this.counter) | 0;
    this.counter = (this.counter + 1) | 0;
    this.a = this.b ^ (this.b >>> 9);
    this.b = (this.c + (this.c << 3)) | 0;
    this.c = (((this.c << 21) | (this.c >>> 11)) + t) | 0;
    return t >>> 0;
  }

  /** Uniform in [0, 1). */
  unit(): number {
    return this.u32() / 2 ** 32;
  }

  /** Uniform integer in [0, limit), limit <= 2^32. */
  below(limit: number): number {
    return Math.floor(this.unit() * limit);
  }

  /** Uniform integer in [low, high]. */
  between(low: number, high: number): number {
    return low + this.below(high - low + 1);
  }

  /** Log-uniform integer in [low, high], low >= 1: as many draws from 10 to 100 as from 100 to 1,000. */
  spread(low: number, high: number): number {
    return Math.round(low * Math.exp(this.unit() * Math.log(high / low)));
  }

  chance(probability: number): boolean {
    return this.unit() < probability;
  }

  pick<T>(items: readonly T[]): T {
    return items[this.below(items.length)]!;
  }

  shuffle<T>(items: T[]): T[] {
    for (let i = items.length - 1; i > 0; i--) {
      const j = this.below(i + 1);
      [items[i], items[j]] = [items[j]!, items[i]!];
    }
    return items;
  }
}

/** FNV-1a. */
function hashName(name: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < name.length; i++) hash = Math.imul(hash ^ name.charCodeAt(i), 0x01000193);
  return hash >>> 0;
}
