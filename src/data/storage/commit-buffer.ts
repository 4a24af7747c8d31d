/** One group commit while it is gathered: parts back to back behind the room for the block's header. */
import { readUint64, writeUint64 } from "../seqno.js";
import { alignedBytes, HeaderBytes } from "./block.js";
import { misused } from "./storage-errors.js";

/** Of a part: kind 4, bytes 4, seqno 8; its bytes follow. */
export const PartHeaderBytes = 16;

export const PartKind = {
  /** Rows from `seqno` on. What the log had from there on is replaced. */
  Rows: 1,
  State: 2,
  /** The log is empty and ends at `seqno`: a snapshot took its place. */
  Reset: 3,
} as const;

/** Most bytes of rows in one commit: beyond it the caller ignored `full` for long. */
export const MaxRowBytes = 1 << 30;
const FirstBytes = 64 * 1024;
const MaxGrowthBytes = 1 << 26;

export class CommitBuffer {
  private buffer = Buffer.alloc(FirstBytes);
  private length = HeaderBytes;
  /** Where the last part begins, if it is one of rows and the log's end; 0 otherwise. */
  private openRows = 0;

  get contentBytes(): number {
    return this.length - HeaderBytes;
  }

  get bytes(): Buffer {
    return this.buffer;
  }

  /** `continues`: they follow the rows appended last. */
  appendRows(seqno: number, rows: Uint8Array, continues: boolean): void {
    if (this.contentBytes + rows.length > MaxRowBytes)
      throw misused(`more than ${MaxRowBytes} bytes in one commit: appends must be held back while storage is full`);
    if (continues && this.openRows !== 0) {
      this.reserve(rows.length);
      this.buffer.writeUInt32LE(this.buffer.readUInt32LE(this.openRows + 4) + rows.length, this.openRows + 4);
      this.buffer.set(rows, this.length);
      this.length += rows.length;
    } else {
      const at = this.length;
      this.appendPart(PartKind.Rows, seqno, rows);
      this.openRows = at;
    }
  }

  appendPart(kind: number, seqno: number, bytes: Uint8Array): void {
    this.reserve(PartHeaderBytes + bytes.length);
    this.buffer.writeUInt32LE(kind, this.length);
    this.buffer.writeUInt32LE(bytes.length, this.length + 4);
    writeUint64(this.buffer, this.length + 8, seqno);
    this.buffer.set(bytes, this.length + PartHeaderBytes);
    this.length += PartHeaderBytes + bytes.length;
    this.openRows = 0;
  }

  /** Empty again. A buffer that grew beyond `keepBytes` is given back. */
  clear(keepBytes: number): void {
    this.length = HeaderBytes;
    this.openRows = 0;
    if (this.buffer.length > Math.max(keepBytes, FirstBytes)) this.buffer = Buffer.alloc(FirstBytes);
  }

  private reserve(bytes: number): void {
    const needed = this.contentBytes + bytes;
    if (alignedBytes(needed) <= this.buffer.length) return;
    const grown = Buffer.alloc(alignedBytes(Math.min(2 * needed, needed + MaxGrowthBytes)));
    this.buffer.copy(grown, 0, 0, this.length);
    this.buffer = grown;
  }
}

export interface Part {
  readonly kind: number;
  readonly seqno: number;
  readonly bytes: Buffer;
}

/** The parts of a commit's content; views, not copies. undefined: it is none. */
export function partsOf(content: Buffer): Part[] | undefined {
  const parts: Part[] = [];
  for (let at = 0; at < content.length; ) {
    if (at + PartHeaderBytes > content.length) return undefined;
    const from = at + PartHeaderBytes;
    const to = from + content.readUInt32LE(at + 4);
    if (to > content.length) return undefined;
    parts.push({ kind: content.readUInt32LE(at), seqno: readUint64(content, at + 8), bytes: content.subarray(from, to) });
    at = to;
  }
  return parts;
}

/** How many rows there are; undefined: their lengths do not add up. */
export function countRows(rows: Uint8Array): number | undefined {
  let count = 0;
  let at = 0;
  while (at + 4 <= rows.length) {
    const bytes = (rows[at]! | (rows[at + 1]! << 8) | (rows[at + 2]! << 16) | (rows[at + 3]! << 24)) >>> 0;
    at += 4 + bytes;
    count++;
  }
  return at === rows.length ? count : undefined;
}
