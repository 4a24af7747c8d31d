/** The log as its commits leave it, while they are read one after the other. */
import { type BlockHeader, HeaderBytes } from "./block.js";
import { countRows, PartKind, partsOf } from "./commit-buffer.js";
import type { RowChunk } from "./recovered.js";
import type { Segment } from "./segments.js";
import { corrupt } from "./storage-errors.js";

export class LiveLog {
  state: Buffer | undefined;
  end = 0;
  last: BlockHeader | undefined;
  readonly segments: Segment[] = [];
  private chunks: RowChunk[] = [];

  beginSegment(number: number): void {
    this.segments.push({ number, maxSeqno: 0 });
  }

  /** `bytes` holds the block at `at`. */
  apply(header: BlockHeader, bytes: Buffer, at: number): void {
    const where = `commit ${header.sequence}`;
    if (this.last === undefined) this.end = header.endBefore;
    else if (header.sequence !== this.last.sequence + 1)
      throw corrupt(`the commits after ${this.last.sequence} and before ${header.sequence} are missing`);
    if (header.endBefore !== this.end) throw corrupt(`${where} follows a log that ends at ${header.endBefore}, not at ${this.end}`);
    const parts = partsOf(bytes.subarray(at + HeaderBytes, at + HeaderBytes + header.contentBytes));
    if (parts === undefined) throw corrupt(`${where} is malformed`);
    for (const part of parts) {
      if (part.kind === PartKind.State) this.state = Buffer.from(part.bytes);
      else if (part.kind === PartKind.Reset) this.reset(part.seqno);
      else if (part.kind === PartKind.Rows) this.appendRows(part.seqno, part.bytes, where);
      else throw corrupt(`${where} has a part of unknown kind ${part.kind}`);
    }
    if (header.endAfter !== this.end) throw corrupt(`${where} leaves a log that ends at ${this.end}, not at ${header.endAfter}`);
    this.last = header;
  }

  /** Rows above `seqno`. Throws if one is missing. */
  above(seqno: number): RowChunk[] {
    const chunks = this.chunks.map((chunk) => dropUpTo(chunk, seqno)).filter((chunk) => chunk.count > 0);
    let next = seqno + 1;
    for (const chunk of chunks) {
      if (chunk.seqno !== next) break;
      next += chunk.count;
    }
    if (next !== this.end + 1) throw corrupt(`the log ends at ${this.end}, and row ${next} is missing`);
    return chunks;
  }

  private reset(seqno: number): void {
    this.chunks = [];
    this.end = seqno;
    for (const segment of this.segments) segment.maxSeqno = 0;
  }

  private appendRows(seqno: number, rows: Buffer, where: string): void {
    const count = countRows(rows);
    if (count === undefined || seqno < 1 || seqno > this.end + 1) throw corrupt(`${where} has rows that do not follow the log`);
    while (this.chunks.length > 0 && this.chunks.at(-1)!.seqno >= seqno) this.chunks.pop();
    const last = this.chunks.at(-1);
    if (last !== undefined && last.seqno + last.count > seqno) this.chunks[this.chunks.length - 1] = keepBelow(last, seqno);
    if (count > 0) this.chunks.push({ seqno, count, rows });
    this.end = seqno + count - 1;
    const segment = this.segments.at(-1)!;
    segment.maxSeqno = Math.max(segment.maxSeqno, this.end);
  }
}

function dropUpTo(chunk: RowChunk, seqno: number): RowChunk {
  const gone = Math.min(Math.max(seqno - chunk.seqno + 1, 0), chunk.count);
  return gone === 0 ? chunk : { seqno: chunk.seqno + gone, count: chunk.count - gone, rows: chunk.rows.subarray(offsetOf(chunk, gone)) };
}

function keepBelow(chunk: RowChunk, seqno: number): RowChunk {
  const count = seqno - chunk.seqno;
  return { seqno: chunk.seqno, count, rows: chunk.rows.subarray(0, offsetOf(chunk, count)) };
}

/** Where the row with this index begins. */
function offsetOf(chunk: RowChunk, index: number): number {
  const rows = chunk.rows as Buffer;
  let at = 0;
  for (let i = 0; i < index; i++) at += 4 + rows.readUInt32LE(at);
  return at;
}
