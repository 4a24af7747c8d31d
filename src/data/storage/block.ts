/**
 * The unit of everything on disk: a block is one group commit, or one part of a snapshot. It begins at a multiple of BlockAlign and so
 * shares no physical sector with another one: a torn write harms the block being written, never one that was acknowledged.
 *
 * The check is GMAC (AES-128-GCM without text) over header and content under the directory's secret key, with file and sequence as nonce:
 * as fast as a CRC, 128 bits, and bytes that a client chose to look like a block fail it. That a nonce may return, for a commit that a
 * crash cut off, would help only somebody who sees checks.
 *
 * | at | bytes | |
 * |---|---|---|
 * | 0 | 4 | magic |
 * | 4 | 2 | format version |
 * | 6 | 2 | kind |
 * | 8 | 16 | check |
 * | 24 | 8 | number of the segment or snapshot file |
 * | 32 | 8 | sequence: commits count on over all segments, parts of a snapshot from 0 |
 * | 40 | 8 | commits: end of the log before |
 * | 48 | 8 | commits: end of the log after |
 * | 56 | 8 | seqno of the snapshot in force after it; parts: of the snapshot |
 * | 64 | 8 | commits: number of that snapshot's file; 0: none |
 * | 72 | 8 | commits: the oldest segment still needed after it |
 * | 80 | 4 | bytes of content |
 *
 * Numbers are little endian and below 2^53.
 */
import { createCipheriv } from "node:crypto";
import { readUint64, writeUint64 } from "../seqno.js";

export const FormatVersion = 1;
export const BlockAlign = 4096;
export const HeaderBytes = 96;
export const KeyBytes = 16;
const Magic = 0x4c575153; // "SQWL"
const CheckAt = 8;
const CheckBytes = 16;

export const BlockKind = {
  Commit: 1,
  /** A commit without content, the last before an orderly close. */
  CleanEnd: 2,
  SnapshotPart: 3,
  /** Without content. */
  SnapshotEnd: 4,
} as const;

export interface BlockHeader {
  kind: number;
  file: number;
  sequence: number;
  endBefore: number;
  endAfter: number;
  snapshotSeqno: number;
  snapshotFile: number;
  oldestSegment: number;
  contentBytes: number;
}

export function alignedBytes(contentBytes: number): number {
  return Math.ceil((HeaderBytes + contentBytes) / BlockAlign) * BlockAlign;
}

/** Completes a block whose content lies at HeaderBytes: header, check, zeros up to the next multiple of BlockAlign. */
export function sealBlock(bytes: Buffer, header: BlockHeader, key: Uint8Array): Buffer {
  const end = HeaderBytes + header.contentBytes;
  bytes.fill(0, 0, HeaderBytes);
  bytes.fill(0, end, alignedBytes(header.contentBytes));
  bytes.writeUInt32LE(Magic, 0);
  bytes.writeUInt16LE(FormatVersion, 4);
  bytes.writeUInt16LE(header.kind, 6);
  writeUint64(bytes, 24, header.file);
  writeUint64(bytes, 32, header.sequence);
  writeUint64(bytes, 40, header.endBefore);
  writeUint64(bytes, 48, header.endAfter);
  writeUint64(bytes, 56, header.snapshotSeqno);
  writeUint64(bytes, 64, header.snapshotFile);
  writeUint64(bytes, 72, header.oldestSegment);
  bytes.writeUInt32LE(header.contentBytes, 80);
  bytes.set(checkOf(bytes.subarray(0, end), key), CheckAt);
  return bytes.subarray(0, alignedBytes(header.contentBytes));
}

/** The block at `at` if it is whole and of this file; undefined otherwise. */
export function openBlock(bytes: Buffer, at: number, file: number, key: Uint8Array): BlockHeader | undefined {
  if (!looksLikeBlock(bytes, at, file)) return undefined;
  const contentBytes = bytes.readUInt32LE(at + 80);
  const end = at + HeaderBytes + contentBytes;
  if (end > bytes.length) return undefined;
  const check = Buffer.from(bytes.subarray(at + CheckAt, at + CheckAt + CheckBytes));
  bytes.fill(0, at + CheckAt, at + CheckAt + CheckBytes);
  const whole = checkOf(bytes.subarray(at, end), key).equals(check);
  bytes.set(check, at + CheckAt);
  if (!whole) return undefined;
  return {
    kind: bytes.readUInt16LE(at + 6),
    file,
    sequence: readUint64(bytes, at + 32),
    endBefore: readUint64(bytes, at + 40),
    endAfter: readUint64(bytes, at + 48),
    snapshotSeqno: readUint64(bytes, at + 56),
    snapshotFile: readUint64(bytes, at + 64),
    oldestSegment: readUint64(bytes, at + 72),
    contentBytes,
  };
}

/** Whether a block of this file begins at `at`, whole or not. */
export function looksLikeBlock(bytes: Buffer, at: number, file: number): boolean {
  return at + HeaderBytes <= bytes.length && bytes.readUInt32LE(at) === Magic && readUint64(bytes, at + 24) === file;
}

/** Of a block whose check is zeros. */
function checkOf(block: Buffer, key: Uint8Array): Buffer {
  const nonce = Buffer.allocUnsafe(12);
  block.copy(nonce, 0, 24, 30);
  block.copy(nonce, 6, 32, 38);
  const mac = createCipheriv("aes-128-gcm", key, nonce).setAAD(block);
  mac.final();
  return mac.getAuthTag();
}
