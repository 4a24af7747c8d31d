/**
 * Another replica's log above some seqno, put together hashes first: rows arrive with the message or by FETCH, records come from the own
 * log where the operation is here already, the rest is fetched. Complete once every record is known.
 */
import { equalBytes } from "./context.js";
import type { DataPlane, HashRun } from "./data-plane.js";
import { commonPrefix, type LogRow, parseRows, type RecordPool } from "./log-rows.js";
import { type FetchedRecord, type FetchRange, FetchWhat, type LogParts, MaxFetchRanges, RowBytes } from "./messages.js";

export interface Missing {
  what: number;
  ranges: FetchRange[];
}

export class RemoteLog {
  private readonly data: DataPlane;
  private readonly pool: RecordPool;
  private readonly remoteRows: (LogRow | undefined)[] = [];
  private rowsMissing: number;
  private rowCursor = 0;
  private commonPrefix: number | undefined;
  private anchor: Uint8Array | undefined;
  /** Indices of rows whose record was unknown once the rows were complete, ascending; those before `firstUnresolved` are known by now. */
  private readonly unresolved: number[] = [];
  private firstUnresolved = 0;

  /** Entries of (low, end], low <= end. `anchor`: the log's summary hash at `low`; undefined: it is fetched too. */
  constructor(
    data: DataPlane,
    pool: RecordPool,
    readonly low: number,
    readonly end: number,
    anchor: Uint8Array | undefined,
  ) {
    this.data = data;
    this.pool = pool;
    this.rowsMissing = end - low;
    this.anchor = anchor;
  }

  /**
   * The highest seqno up to which this log is known to equal the own one, or `low` if it differs there; valid once the rows are
   * complete.
   */
  get common(): number {
    return this.commonPrefix ?? this.low;
  }

  /** All rows, when complete. */
  get rows(): LogRow[] {
    return this.remoteRows as LogRow[];
  }

  get complete(): boolean {
    return this.missing([], 1) === undefined;
  }

  /** Rows outside (low, end] and rows that are known already are skipped. */
  addRows(from: number, bytes: Uint8Array): boolean {
    if (from < 1 || from + bytes.length / RowBytes - 1 > this.end) return false;
    for (const row of parseRows(bytes, from)) {
      const index = row.seqno - this.low - 1;
      if (index === -1) this.anchor ??= row.hash;
      if (index < 0 || this.remoteRows[index]) continue;
      this.remoteRows[index] = row;
      this.rowsMissing--;
    }
    return true;
  }

  /** Takes the records that chain to their row's summary hash; false when one does not. */
  addRecords(records: readonly FetchedRecord[]): boolean {
    if (this.commonPrefix === undefined) return true;
    for (const { seqno, record, chained } of records) {
      const index = seqno - this.low - 1;
      const row = this.remoteRows[index];
      if (!row || seqno <= this.common || row.record) continue;
      const previous = this.previousHash(index);
      const known = chained && equalBytes(chained.previous, previous);
      if (!equalBytes(known ? chained.hash : this.data.summaryHash(previous, record), row.hash)) return false;
      row.record = record;
      this.pool.add(row, record);
    }
    return true;
  }

  /**
   * Whether the records' hashes are computed on another thread first, since there are many bytes of them; the message comes again
   * then (ControlPlane.onHashed), and addRecords compares only.
   */
  hashesLater(from: number, message: LogParts): boolean {
    if (message.what !== FetchWhat.Records || this.commonPrefix === undefined || message.hashed) return false;
    const runs: HashRun[] = [];
    for (const fetched of message.records) {
      const run = runs.at(-1);
      if (run && (run.records.at(-1) as FetchedRecord).seqno === fetched.seqno - 1) run.records.push(fetched);
      else if (this.rows[fetched.seqno - this.low - 1]) {
        runs.push({ previous: this.previousHash(fetched.seqno - this.low - 1), records: [fetched] });
      }
    }
    return this.data.hashLater(from, message, runs);
  }

  /** What is missing now: records come after all rows. */
  get what(): number {
    return this.anchor && this.rowsMissing === 0 ? FetchWhat.Records : FetchWhat.Rows;
  }

  /** What to fetch next, `most` entries, none of them in `asked`; undefined: nothing, the log is complete once what is asked for came. */
  missing(asked: readonly FetchRange[] = [], most = Number.POSITIVE_INFINITY): Missing | undefined {
    if (this.low === this.end) return undefined;
    const ranges = this.what === FetchWhat.Rows ? this.missingRows(asked, most) : this.missingRecords(asked, most);
    return ranges.length > 0 ? { what: this.what, ranges } : undefined;
  }

  private missingRows(asked: readonly FetchRange[], most: number): FetchRange[] {
    // The row at `low` tells the anchor.
    if (!this.anchor) return covers(asked, this.low) ? [] : [{ from: this.low, to: Math.min(this.end, this.low + most - 1) }];
    while (this.remoteRows[this.rowCursor]) this.rowCursor++;
    const free = (index: number): boolean => index < this.end - this.low && !this.remoteRows[index] && !covers(asked, this.low + 1 + index);
    let first = this.rowCursor;
    while (first < this.end - this.low && !free(first)) first++;
    if (first === this.end - this.low) return [];
    let last = first;
    while (last + 1 - first < most && free(last + 1)) last++;
    return [{ from: this.low + 1 + first, to: this.low + 1 + last }];
  }

  private missingRecords(asked: readonly FetchRange[], most: number): FetchRange[] {
    if (this.commonPrefix === undefined) this.resolve();
    while (this.firstUnresolved < this.unresolved.length && this.isKnown(this.unresolved[this.firstUnresolved] as number)) {
      this.firstUnresolved++;
    }
    const ranges: FetchRange[] = [];
    let entries = 0;
    for (let i = this.firstUnresolved; i < this.unresolved.length && entries < most; i++) {
      const index = this.unresolved[i] as number;
      const seqno = this.low + 1 + index;
      if (covers(asked, seqno)) {
        // What lies between the first and the last range of a request is nobody else's.
        if (entries > 0) break;
        continue;
      }
      if (this.isKnown(index)) continue;
      entries++;
      const last = ranges.at(-1);
      if (last && last.to === seqno - 1) last.to = seqno;
      else if (ranges.length < MaxFetchRanges) ranges.push({ from: seqno, to: seqno });
      else break;
    }
    return ranges;
  }

  private isKnown(index: number): boolean {
    const row = this.remoteRows[index] as LogRow;
    row.record ??= this.pool.findByHash(row);
    return row.record !== undefined;
  }

  private resolve(): void {
    const { logBase, logEnd } = this.data;
    const shared = this.low >= logBase && this.low <= logEnd && equalBytes(this.data.hashAt(this.low), this.anchor as Uint8Array);
    this.commonPrefix = shared ? commonPrefix(this.data, this.low, this.rows) : this.low;
    if (this.commonPrefix < this.end) this.pool.index(this.low);
    for (let index = this.commonPrefix - this.low; index < this.end - this.low; index++) {
      const row = this.remoteRows[index] as LogRow;
      row.record = this.pool.find(this.previousHash(index), row);
      if (!row.record) this.unresolved.push(index);
    }
  }

  private previousHash(index: number): Uint8Array {
    return index === 0 ? (this.anchor as Uint8Array) : (this.remoteRows[index - 1] as LogRow).hash;
  }
}

function covers(ranges: readonly FetchRange[], seqno: number): boolean {
  return ranges.some(({ from, to }) => seqno >= from && seqno <= to);
}
