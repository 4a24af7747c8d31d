/**
 * Writing and reading the bodies of control messages. Integers are little-endian; a 64-bit number travels as two unsigned words and is
 * exact up to 2^53.
 */

const TwoTo32 = 0x1_0000_0000;

export class Writer {
  private readonly buffer: Buffer;
  private at = 0;
  /** Into `room`, where there is enough of it: what is written must be sent before the next message takes its place. */
  constructor(size: number, room?: Buffer) {
    this.buffer = room && size <= room.length ? room.subarray(0, size) : Buffer.alloc(size);
  }
  u8(value: number): this {
    this.at = this.buffer.writeUInt8(value, this.at);
    return this;
  }
  u16(value: number): this {
    this.at = this.buffer.writeUInt16LE(value, this.at);
    return this;
  }
  u32(value: number): this {
    this.at = this.buffer.writeUInt32LE(value, this.at);
    return this;
  }
  u64(value: number): this {
    return this.u32(value % TwoTo32).u32(Math.floor(value / TwoTo32));
  }
  bytes(value: Uint8Array): this {
    this.buffer.set(value, this.at);
    this.at += value.length;
    return this;
  }
  vector(values: readonly number[]): this {
    for (const value of values) this.u32(value);
    return this;
  }
  done(): Uint8Array {
    return this.buffer;
  }
}

/** Reads past the end give 0 and make `ok` false, so that decoders check once. */
export class Reader {
  private readonly buffer: Uint8Array;
  private readonly view: DataView;
  private at = 0;
  ok = true;
  constructor(bytes: Uint8Array) {
    this.buffer = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }
  private take(size: number): number {
    if (!this.ok || size > this.buffer.length - this.at) {
      this.ok = false;
      return -1;
    }
    const at = this.at;
    this.at += size;
    return at;
  }
  u8(): number {
    const at = this.take(1);
    return at < 0 ? 0 : this.view.getUint8(at);
  }
  u16(): number {
    const at = this.take(2);
    return at < 0 ? 0 : this.view.getUint16(at, true);
  }
  u32(): number {
    const at = this.take(4);
    return at < 0 ? 0 : this.view.getUint32(at, true);
  }
  /** A number that a double cannot hold exactly is malformed. */
  u64(): number {
    const low = this.u32();
    const high = this.u32();
    if (high >= 0x20_0000) this.ok = false;
    return this.ok ? high * TwoTo32 + low : 0;
  }
  zero(size: number): void {
    for (let i = 0; i < size; i++) if (this.u8() !== 0) this.ok = false;
  }
  /** A copy: the frame's bytes are only lent. (Not slice(): a Buffer's does not copy.) */
  bytes(size: number): Uint8Array {
    return new Uint8Array(this.lent(size));
  }
  /** The frame's own bytes: gone when its handler returns. */
  lent(size: number): Uint8Array {
    const at = this.take(size);
    return at < 0 ? new Uint8Array(0) : this.buffer.subarray(at, at + size);
  }
  vector(n: number): number[] {
    const values: number[] = [];
    for (let i = 0; i < n && this.ok; i++) values.push(this.u32());
    return values;
  }
  finish<T>(message: T): T | undefined {
    return this.ok && this.at === this.buffer.length ? message : undefined;
  }
}
