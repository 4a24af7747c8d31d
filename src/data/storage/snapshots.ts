/** Snapshot files: the state at one seqno, cut into blocks of kind SnapshotPart and one SnapshotEnd. */
import { alignedBytes, BlockAlign, BlockKind, HeaderBytes, openBlock, sealBlock } from "./block.js";
import type { Disk, DiskFile } from "./disk.js";
import { ignoringErrors } from "./segments.js";
import { type Steps, step } from "./steps.js";
import { corrupt } from "./storage-errors.js";

const prefix = "snapshot-";
const PartBytes = 256 * 1024;
const PartContentBytes = PartBytes - HeaderBytes;

export interface SnapshotFile {
  readonly number: number;
  readonly seqno: number;
  /** Of the state. */
  readonly bytes: number;
}

export function snapshotName(number: number): string {
  return prefix + String(number).padStart(16, "0");
}

export function isSnapshotName(name: string): boolean {
  return /^snapshot-\d{16}(\.new)?$/.test(name);
}

export function snapshotNumber(name: string): number {
  return Number(name.slice(prefix.length, prefix.length + 16));
}

/** Under another name until it is whole and on disk. `check` throws to give up. Returns the bytes of the state. */
export function* writeSnapshotFile(
  disk: Disk,
  file: { number: number; seqno: number; key: Uint8Array },
  chunks: Iterable<Uint8Array>,
  check: () => void,
): Steps<SnapshotFile> {
  const name = snapshotName(file.number);
  const unfinished = `${name}.new`;
  const open = yield* step<DiskFile>((done) => disk.open(unfinished, "create", done));
  try {
    const writer = new PartWriter(open, file);
    for (const chunk of chunks) {
      for (let at = 0; at < chunk.length; ) {
        at += writer.take(chunk, at);
        if (writer.full) {
          check();
          yield* writer.write(BlockKind.SnapshotPart);
        }
      }
    }
    if (!writer.empty) yield* writer.write(BlockKind.SnapshotPart);
    yield* writer.write(BlockKind.SnapshotEnd);
    check();
    yield* step((done) => open.sync(done));
    yield* step((done) => open.close(done));
    yield* step((done) => disk.rename(unfinished, name, done));
    yield* step((done) => disk.syncDirectory(done));
    return { number: file.number, seqno: file.seqno, bytes: writer.stateBytes };
  } catch (error) {
    yield* ignoringErrors(step((done) => open.close(done)));
    yield* ignoringErrors(step((done) => disk.remove(unfinished, done)));
    throw error;
  }
}

class PartWriter {
  private readonly buffer = Buffer.alloc(PartBytes);
  private length = 0;
  private sequence = 0;
  private offset = 0;
  stateBytes = 0;

  constructor(
    private readonly open: DiskFile,
    private readonly file: { number: number; seqno: number; key: Uint8Array },
  ) {}

  get full(): boolean {
    return this.length === PartContentBytes;
  }

  get empty(): boolean {
    return this.length === 0;
  }

  /** Copies what fits of the chunk from `at` on; returns how much that was. */
  take(chunk: Uint8Array, at: number): number {
    const piece = chunk.subarray(at, at + PartContentBytes - this.length);
    this.buffer.set(piece, HeaderBytes + this.length);
    this.length += piece.length;
    this.stateBytes += piece.length;
    return piece.length;
  }

  *write(kind: number): Steps<void> {
    const { number, seqno, key } = this.file;
    const position = { file: number, sequence: this.sequence++, snapshotSeqno: seqno, contentBytes: this.length };
    const block = sealBlock(this.buffer, { kind, endBefore: 0, endAfter: 0, snapshotFile: 0, oldestSegment: 0, ...position }, key);
    yield* step((done) => this.open.write(this.offset, block, done));
    this.offset += block.length;
    this.length = 0;
  }
}

/** Every part in order; each is checked before it is handed on. `seqno`: if another one, or any, is not wanted. Throws STORAGE_CORRUPT. */
export function* readSnapshotFile(
  disk: Disk,
  file: { number: number; seqno: number | undefined; key: Uint8Array },
  onChunk: (bytes: Uint8Array) => void,
): Steps<SnapshotFile> {
  const name = snapshotName(file.number);
  const open = yield* step<DiskFile>((done) => disk.open(name, "open", done));
  try {
    let bytes = 0;
    let { seqno } = file;
    for (let at = 0, sequence = 0; ; sequence++) {
      const block = yield* step<Buffer>((done) => open.read(at, PartBytes, done));
      const header = openBlock(block, 0, file.number, file.key);
      if (header === undefined || header.sequence !== sequence || header.snapshotSeqno !== (seqno ?? header.snapshotSeqno))
        throw corrupt(`${name} has a damaged part at byte ${at}`);
      seqno = header.snapshotSeqno;
      if (header.kind === BlockKind.SnapshotEnd) return { number: file.number, seqno, bytes };
      if (header.kind !== BlockKind.SnapshotPart) throw corrupt(`${name} has a part of an unknown kind at byte ${at}`);
      onChunk(block.subarray(HeaderBytes, HeaderBytes + header.contentBytes));
      bytes += header.contentBytes;
      at += Math.max(BlockAlign, alignedBytes(header.contentBytes));
    }
  } finally {
    yield* ignoringErrors(step((done) => open.close(done)));
  }
}
