/**
 * Bodies of the messages of synchronization and reconciliation (docs/wire-messages.md). Decoders return undefined for anything that is
 * not exactly one well-formed message.
 */
import { Mode } from "../data/binding.js";
import { Reader, Writer } from "./codec.js";

export const HashBytes = 32;
/** A row of a log suffix: summary hash 32, session 8, request number 8. */
export const RowBytes = 48;
/** Ranges in one FETCH. */
export const MaxFetchRanges = 512;
export const MaxReplicas = 32;

export interface SyncMessage {
  view: number;
  seqno: number;
}

/** SYNC-REPLY, COMMIT and IN-VIEW: a view, a seqno (of IN-VIEW: the length of its log) and the summary hash there. */
export interface PositionMessage {
  view: number;
  seqno: number;
  hash: Uint8Array;
}

export interface StartReconciliationMessage {
  view: number;
  incarnation: number;
  /** A recovering replica's message triggers a reconciliation and is not counted in its quorum. */
  recovering: boolean;
  /** Per replica, the highest incarnation the sender knows. */
  vector: number[];
}

export interface ReconcileMessage {
  view: number;
  lastNormalView: number;
  mode: number;
  incarnation: number;
  /** Entries at or below it are gone from the sender's log. */
  base: number;
  committed: number;
  committedHash: Uint8Array;
  /** Of a FAST view: the log is its leader's up to here. Else the committed seqno. */
  accepted: number;
  end: number;
  /** Per replica, the highest incarnation the sender knows. */
  vector: number[];
  /** The first rows of (committed, end], as many as fit; the leader fetches the others. */
  rows: Uint8Array;
}

export interface StartViewMessage {
  view: number;
  mode: number;
  /** Bit r: replica r's log was merged. */
  mask: number;
  /** Entries at or below it are gone from the sender's log. */
  logBase: number;
  /** The rows start behind it. */
  base: number;
  baseHash: Uint8Array;
  /** Length of the log the view starts with, and its summary hash. */
  end: number;
  endHash: Uint8Array;
  /** Per replica, minimum and maximum of the members' crash vectors. */
  minVector: number[];
  maxVector: number[];
  /** The first rows of (base, end], as many as fit; the receiver fetches the others. */
  rows: Uint8Array;
}

/** Committed: the first range's entries, as far as they are committed and fit; where it is of one entry, those behind it too. */
export const FetchWhat = { Rows: 0, Records: 1, Committed: 2 } as const;
export interface FetchRange {
  from: number;
  to: number;
}
export interface FetchMessage {
  view: number;
  what: number;
  ranges: FetchRange[];
}
export interface FetchedRecord {
  seqno: number;
  record: Uint8Array;
  /** Not on the wire: the record's summary hash behind an entry with the hash `previous`, computed on another thread. */
  chained?: { previous: Uint8Array; hash: Uint8Array };
}
/** Rows or records of a log that is put together (RemoteLog). */
export type LogParts =
  | { view: number; what: typeof FetchWhat.Rows; from: number; rows: Uint8Array }
  /** `hashed`: it has been to the other threads, and is not to go there again. */
  | { view: number; what: typeof FetchWhat.Records; records: FetchedRecord[]; hashed?: boolean };

/** FETCH-REPLY with committed entries from `from` on. `view`: the sender's, in which it has `committed` of them; they may be of earlier ones. */
export interface CommittedRun {
  view: number;
  what: typeof FetchWhat.Committed;
  from: number;
  committed: number;
  /** See NativeReplicaEngine.committedRun. Of the frame: whoever keeps it makes a copy. */
  run: Uint8Array;
  /** Not on the wire: the only record, whose hash is computed on another thread. */
  single?: FetchedRecord;
}

export type FetchReplyMessage = LogParts | CommittedRun;

export function encodeSync(m: SyncMessage): Uint8Array {
  return new Writer(16).u64(m.view).u64(m.seqno).done();
}

export function decodeSync(body: Uint8Array): SyncMessage | undefined {
  const r = new Reader(body);
  return r.finish({ view: r.u64(), seqno: r.u64() });
}

export function encodePosition(m: PositionMessage): Uint8Array {
  return new Writer(16 + HashBytes).u64(m.view).u64(m.seqno).bytes(m.hash).done();
}

export function decodePosition(body: Uint8Array): PositionMessage | undefined {
  const r = new Reader(body);
  return r.finish({ view: r.u64(), seqno: r.u64(), hash: r.bytes(HashBytes) });
}

export function encodeStartReconciliation(m: StartReconciliationMessage): Uint8Array {
  return new Writer(16 + 4 * m.vector.length)
    .u64(m.view)
    .u32(m.incarnation)
    .u8(m.recovering ? 1 : 0)
    .u8(m.vector.length)
    .u16(0)
    .vector(m.vector)
    .done();
}

export function decodeStartReconciliation(body: Uint8Array): StartReconciliationMessage | undefined {
  const r = new Reader(body);
  const view = r.u64();
  const incarnation = r.u32();
  const recovering = r.u8();
  const n = r.u8();
  r.zero(2);
  if (recovering > 1 || n === 0 || n > MaxReplicas) r.ok = false;
  return r.finish({ view, incarnation, recovering: recovering === 1, vector: r.vector(n) });
}

export function encodeStartViewRequest(view: number): Uint8Array {
  return new Writer(8).u64(view).done();
}

export function decodeStartViewRequest(body: Uint8Array): number | undefined {
  const r = new Reader(body);
  return r.finish(r.u64());
}

export function encodeReconcile(m: ReconcileMessage): Uint8Array {
  return new Writer(92 + 4 * m.vector.length + m.rows.length)
    .u64(m.view)
    .u64(m.lastNormalView)
    .u8(m.mode)
    .u8(m.vector.length)
    .u16(0)
    .u32(m.incarnation)
    .u64(m.base)
    .u64(m.committed)
    .bytes(m.committedHash)
    .u64(m.accepted)
    .u64(m.end)
    .u32(m.rows.length / RowBytes)
    .vector(m.vector)
    .bytes(m.rows)
    .done();
}

export function decodeReconcile(body: Uint8Array): ReconcileMessage | undefined {
  const r = new Reader(body);
  const view = r.u64();
  const lastNormalView = r.u64();
  const mode = r.u8();
  const n = r.u8();
  r.zero(2);
  const incarnation = r.u32();
  const base = r.u64();
  const committed = r.u64();
  const committedHash = r.bytes(HashBytes);
  const accepted = r.u64();
  const end = r.u64();
  const count = r.u32();
  if (n === 0 || n > MaxReplicas || mode > Mode.Fast || lastNormalView >= view) r.ok = false;
  if (accepted < committed || end < accepted || base > committed || count > end - committed) r.ok = false;
  const vector = r.vector(n);
  const rows = r.bytes(count * RowBytes);
  return r.finish({ view, lastNormalView, mode, incarnation, base, committed, committedHash, accepted, end, vector, rows });
}

export function encodeStartView(m: StartViewMessage): Uint8Array {
  return new Writer(108 + 8 * m.minVector.length + m.rows.length)
    .u64(m.view)
    .u8(m.mode)
    .u8(m.minVector.length)
    .u16(0)
    .u32(m.mask)
    .u64(m.logBase)
    .u64(m.base)
    .bytes(m.baseHash)
    .u64(m.end)
    .bytes(m.endHash)
    .u32(m.rows.length / RowBytes)
    .vector(m.minVector)
    .vector(m.maxVector)
    .bytes(m.rows)
    .done();
}

export function decodeStartView(body: Uint8Array): StartViewMessage | undefined {
  const r = new Reader(body);
  const view = r.u64();
  const mode = r.u8();
  const n = r.u8();
  r.zero(2);
  const mask = r.u32();
  const logBase = r.u64();
  const base = r.u64();
  const baseHash = r.bytes(HashBytes);
  const end = r.u64();
  const endHash = r.bytes(HashBytes);
  const count = r.u32();
  if (n === 0 || n > MaxReplicas || mode > Mode.Fast || end < base || count > end - base || view === 0) r.ok = false;
  const minVector = r.vector(n);
  const maxVector = r.vector(n);
  const rows = r.bytes(count * RowBytes);
  return r.finish({ view, mode, mask, logBase, base, baseHash, end, endHash, minVector, maxVector, rows });
}

export function encodeFetch(m: FetchMessage): Uint8Array {
  const w = new Writer(12 + 16 * m.ranges.length).u64(m.view).u8(m.what).u8(0).u16(m.ranges.length);
  for (const range of m.ranges) w.u64(range.from).u64(range.to);
  return w.done();
}

export function decodeFetch(body: Uint8Array): FetchMessage | undefined {
  const r = new Reader(body);
  const view = r.u64();
  const what = r.u8();
  r.zero(1);
  const count = r.u16();
  if (what > FetchWhat.Committed || count === 0 || count > MaxFetchRanges) r.ok = false;
  const ranges: FetchRange[] = [];
  for (let i = 0; i < count && r.ok; i++) {
    const from = r.u64();
    const to = r.u64();
    if (from === 0 || to < from) r.ok = false;
    ranges.push({ from, to });
  }
  return r.finish({ view, what, ranges });
}

export function encodeFetchReply(m: FetchReplyMessage, room?: Buffer): Uint8Array {
  if (m.what === FetchWhat.Rows) {
    return new Writer(24 + m.rows.length)
      .u64(m.view)
      .u8(m.what)
      .u8(0)
      .u16(0)
      .u32(m.rows.length / RowBytes)
      .u64(m.from)
      .bytes(m.rows)
      .done();
  }
  if (m.what === FetchWhat.Committed) {
    return new Writer(32 + m.run.length, room)
      .u64(m.view)
      .u8(m.what)
      .u8(0)
      .u16(0)
      .u32(m.run.length)
      .u64(m.from)
      .u64(m.committed)
      .bytes(m.run)
      .done();
  }
  const size = m.records.reduce((sum, r) => sum + 12 + r.record.length, 16);
  const w = new Writer(size).u64(m.view).u8(m.what).u8(0).u16(0).u32(m.records.length);
  for (const { seqno, record } of m.records) w.u64(seqno).u32(record.length).bytes(record);
  return w.done();
}

export function decodeFetchReply(body: Uint8Array): FetchReplyMessage | undefined {
  const r = new Reader(body);
  const view = r.u64();
  const what = r.u8();
  r.zero(3);
  const count = r.u32();
  if (what === FetchWhat.Rows) {
    const from = r.u64();
    return r.finish({ view, what, from, rows: r.bytes(count * RowBytes) });
  }
  if (what === FetchWhat.Committed) {
    const from = r.u64();
    return r.finish({ view, what, from, committed: r.u64(), run: r.lent(count) });
  }
  if (what !== FetchWhat.Records) return undefined;
  const records: FetchedRecord[] = [];
  for (let i = 0; i < count && r.ok; i++) {
    const seqno = r.u64();
    records.push({ seqno, record: r.bytes(r.u32()) });
  }
  return r.finish({ view, what, records });
}
