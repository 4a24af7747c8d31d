/**
 * Records that were fetched for a view's log, by summary hash: what came for a view that failed to start is not fetched again for the next
 * one. Only a cache: whoever lacks a record here fetches it.
 */
const MostBytes = 64 * 1024 * 1024;
const EntryBytes = 200;

export class FetchedRecords {
  private readonly records = new Map<string, Uint8Array>();
  private bytes = 0;

  /** `key`: hashKey of the entry's summary hash. */
  get(key: string): Uint8Array | undefined {
    return this.records.get(key);
  }

  add(key: string, record: Uint8Array): void {
    if (this.records.has(key)) return;
    if (this.bytes >= MostBytes) this.clear();
    this.bytes += record.length + EntryBytes;
    this.records.set(key, record);
  }

  /** They are in the log now. */
  clear(): void {
    this.records.clear();
    this.bytes = 0;
  }
}
