/** A snapshot as it lies in a data directory: lengths, position, digest, then the machine's bytes and the session table. */
import { createHash } from "node:crypto";
import { PositionBytes, type Snapshot } from "../../control/snapshot.js";
import { snapshotDigest } from "../checkpoints.js";

const DigestBytes = 32;
const HeadBytes = 16 + PositionBytes + DigestBytes;
const ChunkBytes = 256 * 1024;

/** Views into the snapshot's bytes, after its head. */
export function* snapshotChunks({ machine, sessions, position, digest }: Snapshot): Generator<Uint8Array> {
  const head = Buffer.alloc(HeadBytes);
  head.writeDoubleLE(machine.length, 0);
  head.writeDoubleLE(sessions.length, 8);
  head.set(position, 16);
  head.set(digest, 16 + PositionBytes);
  yield head;
  for (const bytes of [machine, sessions]) {
    for (let at = 0; at < bytes.length; at += ChunkBytes) yield bytes.subarray(at, at + ChunkBytes);
  }
}

/** The snapshot at `seqno`; undefined: its bytes are not what was written. */
export function decodeSnapshot(seqno: number, bytes: Uint8Array): Snapshot | undefined {
  if (bytes.length < HeadBytes) return undefined;
  const head = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  const machineBytes = head.readDoubleLE(0);
  const sessionBytes = head.readDoubleLE(8);
  if (machineBytes + sessionBytes !== bytes.length - HeadBytes) return undefined;
  const position = bytes.slice(16, 16 + PositionBytes);
  const digest = bytes.slice(16 + PositionBytes, HeadBytes);
  const machine = bytes.subarray(HeadBytes, HeadBytes + machineBytes);
  const sessions = bytes.subarray(HeadBytes + machineBytes);
  const found = snapshotDigest(seqno, position, sessions, createHash("sha256").update(machine).digest());
  return Buffer.compare(found, digest) === 0 ? { seqno, position, machine, sessions, digest } : undefined;
}
