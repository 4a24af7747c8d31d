/** Each replica's summary hash at each seqno up to which it committed, as it was then: 48 bytes an entry, seqno, replica and hash. */
export class Boundaries {
  private bytes = Buffer.alloc(48 * 1024);
  private count = 0;

  note(seqno: number, hash: Uint8Array, replica: number): void {
    if (48 * (this.count + 1) > this.bytes.length) this.bytes = Buffer.concat([this.bytes, Buffer.alloc(this.bytes.length)]);
    const at = 48 * this.count++;
    this.bytes.writeDoubleLE(seqno, at);
    this.bytes[at + 8] = replica;
    this.bytes.set(hash, at + 16);
  }

  /** `rows`: the committed log up to `end`, 48 bytes an entry, hash first. */
  compare(rows: Uint8Array, end: number, differs: (seqno: number, replica: number) => void): void {
    for (let at = 0; at < 48 * this.count; at += 48) {
      const seqno = this.bytes.readDoubleLE(at);
      if (seqno < 1 || seqno > end) continue;
      const row = 48 * (seqno - 1);
      if (this.bytes.compare(rows, row, row + 32, at + 16, at + 48) !== 0) differs(seqno, this.bytes[at + 8]!);
    }
  }
}
