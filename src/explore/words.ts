/** A list of unsigned 32-bit numbers that only grows. */
export class GrowingWords {
  /** Those from `length` on mean nothing. Another array after a push. */
  words = new Uint32Array(1 << 10);
  length = 0;

  push(word: number): void {
    if (this.length === this.words.length) {
      const words = new Uint32Array(2 * this.words.length);
      words.set(this.words);
      this.words = words;
    }
    this.words[this.length++] = word;
  }
}
