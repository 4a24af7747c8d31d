/** Rows of a log suffix as reconciliations compare them, and where the records behind them are found. */
import type { DataPlane } from "./data-plane.js";
import type { FetchedRecords } from "./fetched-records.js";
import type { MergeRow } from "./merge.js";
import { HashBytes, RowBytes } from "./messages.js";

export interface LogRow extends MergeRow {
  readonly seqno: number;
  readonly hash: Uint8Array;
  /** undefined: the entry is in the own log at the same seqno, with the same hash. */
  record: Uint8Array | undefined;
}

export function hashKey(hash: Uint8Array): string {
  return Buffer.from(hash.buffer, hash.byteOffset, hash.byteLength).toString("latin1");
}

/** `bytes`: rows back to back, the first at seqno `from`. Keeps references into `bytes`. */
export function parseRows(bytes: Uint8Array, from: number): LogRow[] {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const rows: LogRow[] = [];
  for (let at = 0; at + RowBytes <= buffer.length; at += RowBytes) {
    rows.push({
      seqno: from + rows.length,
      hash: buffer.subarray(at, at + HashBytes),
      key: buffer.toString("latin1", at, at + HashBytes),
      operation: buffer.toString("latin1", at + HashBytes, at + RowBytes),
      record: undefined,
    });
  }
  return rows;
}

/** Own entries of (from, to]. */
export function ownRows(data: DataPlane, from: number, to: number): LogRow[] {
  return to > from ? parseRows(data.suffixRows(from + 1, to), from + 1) : [];
}

export function recordOf(data: DataPlane, row: LogRow): Uint8Array {
  return row.record ?? data.record(row.seqno);
}

/**
 * The highest seqno up to which the own log equals a log whose entries above `low` are `rows`, given that they are equal at `low`.
 * Equal summary hashes mean equal prefixes, hence the binary search.
 */
export function commonPrefix(data: DataPlane, low: number, rows: readonly LogRow[]): number {
  let same = low;
  let different = Math.min(low + rows.length, data.logEnd) + 1;
  while (different - same > 1) {
    const middle = Math.floor((same + different) / 2);
    if (hashKey(data.hashAt(middle)) === (rows[middle - low - 1] as LogRow).key) same = middle;
    else different = middle;
  }
  return same;
}

// Two logs may hold different bytes under one identity (a faulty client); more variants than this are fetched.
const VariantsPerOperation = 4;

/** Records known here, by summary hash and by operation: those of the own log above `low`, and all that were fetched. */
export class RecordPool {
  private readonly data: DataPlane;
  private readonly fetched: FetchedRecords;
  /** Of the own log. */
  private readonly byHash = new Map<string, Uint8Array>();
  /** A number is a seqno of the own log, which stands still meanwhile. */
  private readonly byOperation = new Map<string, (Uint8Array | number)[]>();
  private indexedFrom: number;

  constructor(data: DataPlane, fetched: FetchedRecords) {
    this.data = data;
    this.fetched = fetched;
    this.indexedFrom = data.logEnd;
  }

  /** Makes sure that own entries above `low` are found, as far as there are any. */
  index(low: number): void {
    const from = Math.max(low, this.data.logBase);
    for (const row of ownRows(this.data, from, this.indexedFrom)) this.remember(row.operation, row.seqno);
    this.indexedFrom = Math.min(this.indexedFrom, from);
  }

  add(row: LogRow, record: Uint8Array): void {
    this.fetched.add(row.key, record);
    this.remember(row.operation, record);
  }

  /** The record of `row`, whose predecessor has summary hash `previous`: known by its hash, or one that chains to it. */
  find(previous: Uint8Array, row: LogRow): Uint8Array | undefined {
    const known = this.findByHash(row);
    if (known) return known;
    for (const variant of this.byOperation.get(row.operation) ?? []) {
      const record = typeof variant === "number" ? this.data.record(variant) : variant;
      if (hashKey(this.data.summaryHash(previous, record)) !== row.key) continue;
      this.byHash.set(row.key, record);
      return record;
    }
    return undefined;
  }

  findByHash(row: LogRow): Uint8Array | undefined {
    return this.byHash.get(row.key) ?? this.fetched.get(row.key);
  }

  private remember(operation: string, variant: Uint8Array | number): void {
    const variants = this.byOperation.get(operation);
    if (!variants) this.byOperation.set(operation, [variant]);
    else if (variants.length < VariantsPerOperation) variants.push(variant);
  }
}
