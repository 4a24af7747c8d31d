const ShortBytes = 512;

/**
 * Hands out bytes of a region as a Buffer without allocating: they are copied to the region's scratch space, of which
 * there is one view per length. The view is valid until the next call.
 */
export class ViewCache {
  static readonly ScratchBytes = 16 * 1024;
  readonly #whole: Uint8Array;
  /** The same bytes by fours: short operations are copied by a loop, since a call of copyWithin costs more than they do. */
  readonly #words: Int32Array;
  readonly #views: (Buffer | undefined)[] = [];
  /** What the native side fills: the region behind the scratch space. */
  readonly region: Uint8Array;

  constructor(bytes: number) {
    const whole = new ArrayBuffer((ViewCache.ScratchBytes + bytes + 7) & ~7);
    this.#whole = new Uint8Array(whole);
    this.#words = new Int32Array(whole);
    this.region = this.#whole.subarray(ViewCache.ScratchBytes, ViewCache.ScratchBytes + bytes);
  }

  /** `offset` counts from the start of `region`, and is a multiple of 8 where the native side wrote it. Longer than the scratch space: a fresh view of the bytes in place. */
  view(offset: number, length: number): Buffer {
    const start = ViewCache.ScratchBytes + offset;
    if (length > ViewCache.ScratchBytes) return Buffer.from(this.#whole.buffer, start, length);
    if (length <= ShortBytes && (start & 3) === 0) {
      const words = this.#words;
      const from = start >> 2;
      for (let i = (length + 3) >> 2; --i >= 0; ) words[i] = words[from + i] as number;
    } else {
      this.#whole.copyWithin(0, start, start + length);
    }
    return this.#views[length] ?? this.#newView(length);
  }

  /** A copy that its receiver may keep. */
  copy(offset: number, length: number): Buffer {
    const copy = Buffer.allocUnsafe(length);
    const start = ViewCache.ScratchBytes + offset;
    if (length <= 64) for (let i = 0; i < length; i++) copy[i] = this.#whole[start + i] as number;
    else copy.set(this.#whole.subarray(start, start + length));
    return copy;
  }

  #newView(length: number): Buffer {
    // Grown step by step, so that the array stays dense: a sparse one turns into a dictionary.
    while (this.#views.length <= length) this.#views.push(undefined);
    const view = Buffer.from(this.#whole.buffer, 0, length);
    this.#views[length] = view;
    return view;
  }
}
