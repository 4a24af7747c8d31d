/** Bodies of FETCH-SNAPSHOT and SNAPSHOT-CHUNK, and of what carries them between epochs (docs/wire-messages.md). */
import { Reader, Writer } from "./codec.js";
import { HashBytes } from "./messages.js";
import { PositionBytes } from "./snapshot.js";

export interface FetchSnapshotMessage {
  /** 0: the newest. */
  seqno: number;
  offset: number;
  /** Most bytes of the answer. */
  length: number;
}

export interface SnapshotChunkMessage {
  /** The sender's view: what the snapshot holds was committed in it or before. */
  view: number;
  /** 0: the sender has no snapshot. */
  seqno: number;
  position: Uint8Array;
  digest: Uint8Array;
  /** The content is the machine's bytes, then those of the session table. */
  machineBytes: number;
  sessionBytes: number;
  offset: number;
  /** Of the frame: whoever keeps them makes a copy. */
  bytes: Uint8Array;
}

export function encodeFetchSnapshot(m: FetchSnapshotMessage): Uint8Array {
  return new Writer(20).u64(m.seqno).u64(m.offset).u32(m.length).done();
}

export function decodeFetchSnapshot(body: Uint8Array): FetchSnapshotMessage | undefined {
  const r = new Reader(body);
  const seqno = r.u64();
  const offset = r.u64();
  const length = r.u32();
  if (length === 0) r.ok = false;
  return r.finish({ seqno, offset, length });
}

export function encodeSnapshotChunk(m: SnapshotChunkMessage, room?: Buffer): Uint8Array {
  return new Writer(16 + PositionBytes + HashBytes + 28 + m.bytes.length, room)
    .u64(m.view)
    .u64(m.seqno)
    .bytes(m.position)
    .bytes(m.digest)
    .u64(m.machineBytes)
    .u64(m.sessionBytes)
    .u64(m.offset)
    .u32(m.bytes.length)
    .bytes(m.bytes)
    .done();
}

export function decodeSnapshotChunk(body: Uint8Array): SnapshotChunkMessage | undefined {
  const r = new Reader(body);
  const view = r.u64();
  const seqno = r.u64();
  const position = r.bytes(PositionBytes);
  const digest = r.bytes(HashBytes);
  const machineBytes = r.u64();
  const sessionBytes = r.u64();
  const offset = r.u64();
  const bytes = r.lent(r.u32());
  if (machineBytes + sessionBytes > Number.MAX_SAFE_INTEGER || offset + bytes.length > machineBytes + sessionBytes) r.ok = false;
  return r.finish({ view, seqno, position, digest, machineBytes, sessionBytes, offset, bytes });
}

/** FETCH-EPOCH-STATE and EPOCH-STATE: a FETCH-SNAPSHOT or SNAPSHOT-CHUNK between a member of an epoch and one that is not in it yet. */
export interface EpochEnvelope {
  /** The life in hexadecimal. */
  life: string;
  epoch: number;
  /** The sender's index in that epoch. */
  replica: number;
}

const LifeIdBytes = 16;
const EnvelopeBytes = LifeIdBytes + 12;

export function encodeEpochEnvelope({ life, epoch, replica }: EpochEnvelope, body: Uint8Array): Uint8Array {
  return new Writer(EnvelopeBytes + body.length).bytes(Buffer.from(life, "hex")).u64(epoch).u32(replica).bytes(body).done();
}

export function decodeEpochEnvelope(bytes: Uint8Array): (EpochEnvelope & { body: Uint8Array }) | undefined {
  const r = new Reader(bytes);
  const life = Buffer.from(r.bytes(LifeIdBytes)).toString("hex");
  return r.ok && bytes.length >= EnvelopeBytes
    ? { life, epoch: r.u64(), replica: r.u32(), body: bytes.subarray(EnvelopeBytes) }
    : undefined;
}
