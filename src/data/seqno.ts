/** 64-bit numbers as two unsigned words, low first: exact up to 2^53, no BigInt on the hot path. */
const TwoTo32 = 0x1_0000_0000;

export function joinWords(lo: number, hi: number): number {
  // Small numbers stay integers: a double would be an object on its way through a call.
  return hi === 0 ? lo : hi * TwoTo32 + lo;
}

/** Reads a little-endian 64-bit number; exact up to 2^53. */
export function readUint64(bytes: Uint8Array, offset: number): number {
  let value = 0;
  for (let i = 7; i >= 0; i--) value = value * 256 + (bytes[offset + i] as number);
  return value;
}

export function writeUint64(bytes: Uint8Array, offset: number, value: number): void {
  let rest = value;
  for (let i = 0; i < 8; i++) {
    bytes[offset + i] = rest % 256;
    rest = Math.floor(rest / 256);
  }
}
