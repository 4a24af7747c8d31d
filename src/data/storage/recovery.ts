/**
 * Reads the log and judges what is damaged. A commit is written only after all before it are on disk; so
 *
 * - a bad block with a good one of the log anywhere behind it was acknowledged, and is lost: STORAGE_CORRUPT;
 * - a bad block with nothing good behind it is what a crash leaves of a commit under way: cut off.
 *
 * The one case that can't be told from the second: the very last commit was acknowledged, nothing followed it, and it went bad later.
 * ReplicaStorage.mark() and an orderly close put a commit behind it.
 */
import { alignedBytes, BlockAlign, type BlockHeader, BlockKind, looksLikeBlock, openBlock } from "./block.js";
import type { Disk, DiskFile } from "./disk.js";
import { LiveLog } from "./live-log.js";
import { ignoringErrors, segmentName, segmentNumbers } from "./segments.js";
import { type Steps, step } from "./steps.js";
import { corrupt } from "./storage-errors.js";

interface ScannedBlock {
  readonly header: BlockHeader;
  readonly at: number;
}

interface Scan {
  readonly number: number;
  readonly bytes: Buffer;
  /** From the beginning up to the first bad one. */
  readonly blocks: readonly ScannedBlock[];
  /** Where they end. */
  readonly end: number;
  /** Sequence of a good block behind the bad one. */
  readonly strayed: number | undefined;
}

export interface RecoveredLog {
  readonly live: LiveLog;
  readonly last: BlockHeader;
  /** The segment that goes on. */
  readonly tail: { readonly number: number; readonly end: number; readonly fileBytes: number; readonly tornBytes: number };
  /** Numbers of segments that are not needed: dropped but still there, or made ahead and not used. */
  readonly unneeded: readonly number[];
}

export function* recoverLog(disk: Disk, names: readonly string[], key: Uint8Array): Steps<RecoveredLog> {
  const numbers = segmentNumbers(names);
  let tail: Scan | undefined;
  for (const number of [...numbers].reverse()) {
    const scan = yield* scanSegment(disk, number, key);
    refuseStrayed(scan);
    if (scan.blocks.length === 0) continue;
    tail = scan;
    break;
  }
  if (tail === undefined) throw corrupt("no file of the log has a good first commit");
  const { oldestSegment } = tail.blocks.at(-1)!.header;
  const live = new LiveLog();
  for (let number = oldestSegment; number <= tail.number; number++) {
    if (!numbers.includes(number)) throw corrupt(`${segmentName(number)} is missing`);
    const scan = number === tail.number ? tail : yield* scanSegment(disk, number, key);
    refuseStrayed(scan);
    if (scan.blocks.length === 0) throw corrupt(`${segmentName(number)} has no good first commit`);
    live.beginSegment(number);
    for (const { header, at } of scan.blocks) live.apply(header, scan.bytes, at);
  }
  return {
    live,
    last: live.last!,
    tail: { number: tail.number, end: tail.end, fileBytes: tail.bytes.length, tornBytes: tornBytes(tail) },
    unneeded: numbers.filter((number) => number < oldestSegment || number > tail.number),
  };
}

function* scanSegment(disk: Disk, number: number, key: Uint8Array): Steps<Scan> {
  const file = yield* step<DiskFile>((done) => disk.open(segmentName(number), "open", done));
  let bytes: Buffer;
  try {
    bytes = yield* step<Buffer>((done) => file.read(0, file.sizeBytes, done));
  } finally {
    yield* ignoringErrors(step((done) => file.close(done)));
  }
  const blocks: ScannedBlock[] = [];
  let at = 0;
  for (;;) {
    const header = openBlock(bytes, at, number, key);
    const isCommit = header?.kind === BlockKind.Commit || header?.kind === BlockKind.CleanEnd;
    if (header === undefined || !isCommit) break;
    const previous = blocks.at(-1);
    if (previous !== undefined && header.sequence !== previous.header.sequence + 1) break;
    blocks.push({ header, at });
    at += alignedBytes(header.contentBytes);
  }
  let strayed: number | undefined;
  for (let behind = at; behind < bytes.length && strayed === undefined; behind += BlockAlign)
    strayed = openBlock(bytes, behind, number, key)?.sequence;
  return { number, bytes, blocks, end: at, strayed };
}

function refuseStrayed(scan: Scan): void {
  if (scan.strayed === undefined) return;
  throw corrupt(`${segmentName(scan.number)} has a bad commit at byte ${scan.end}, and a good one (${scan.strayed}) behind it`);
}

/** Bytes behind the last good block that a commit left there. */
function tornBytes({ bytes, end, number }: Scan): number {
  if (looksLikeBlock(bytes, end, number)) return Math.min(bytes.length - end, alignedBytes(bytes.readUInt32LE(end + 80)));
  const first = bytes.subarray(end, end + BlockAlign);
  return first.every((byte) => byte === 0) ? 0 : first.length;
}
