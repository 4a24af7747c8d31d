/** What a replica keeps on disk: a small state record, a log of rows with consecutive seqnos, and the newest snapshot. */
import { SquallError } from "../../errors.js";
import type { Disk, DiskFile } from "./disk.js";
import type { Recovered, RowChunk } from "./recovered.js";
import { runSteps, type Steps, step } from "./steps.js";

export interface StorageOptions {
  /** Whose directory it is: another one's is refused. `cluster`: 8 bytes. */
  readonly identity: { readonly cluster: Uint8Array; readonly replica: number };
  /** Size of a log file. Default 16 MiB. */
  readonly segmentBytes?: number;
  /** Buffered bytes from which on `full` holds. Default 4 MiB. */
  readonly bufferBytes?: number;
  /** A damaged directory loses log, snapshot and state, and is opened as one whose memory was lost. */
  readonly repair?: boolean;
}

export interface OpenedStorage {
  readonly storage: ReplicaStorage;
  readonly recovered: Recovered;
}

export class ReplicaStorage {
  private chunks: RowChunk[] = [];
  private state: Uint8Array | undefined;
  private snapshot: { seqno: number; bytes: Uint8Array } | undefined;
  private last = 0;
  private dirty = false;
  private waiting: ((error?: Error) => void)[] = [];
  private flushing = false;

  private constructor(
    private readonly disk: Disk,
    private readonly file: DiskFile,
  ) {}

  /** As openWith, for those who have an event loop. */
  static open(disk: Disk, options: StorageOptions): Promise<OpenedStorage> {
    return new Promise((resolve, reject) => {
      ReplicaStorage.openWith(disk, options, (error, opened) => (error === undefined ? resolve(opened) : reject(error)));
    });
  }

  /** Reads what is there. Errors are SquallErrors STORAGE_*. */
  static openWith(disk: Disk, options: StorageOptions, done: (error: Error | undefined, opened: OpenedStorage) => void): void {
    runSteps(ReplicaStorage.opening(disk, options), done);
  }

  private static *opening(disk: Disk, _options: StorageOptions): Steps<OpenedStorage> {
    yield* step<void>((done) => disk.lock(done));
    const names = yield* step<string[]>((done) => disk.list(done));
    const present = names.includes("all");
    const file = yield* step<DiskFile>((done) => disk.open("all", present ? "open" : "create", done));
    const storage = new ReplicaStorage(disk, file);
    if (present) storage.load(yield* step<Uint8Array>((done) => file.read(0, file.sizeBytes, done)));
    const entries = { first: (storage.snapshot?.seqno ?? 0) + 1, end: storage.last, chunks: [...storage.chunks] };
    const snapshot = storage.snapshot && { seqno: storage.snapshot.seqno, bytes: storage.snapshot.bytes.length };
    return { storage, recovered: { state: storage.state, snapshot, entries, clean: false, tornBytes: 0, repairs: 0 } };
  }

  /** Seqno of the last row; the snapshot's if there is none above it. */
  get end(): number {
    return this.last;
  }

  /** More is buffered than options.bufferBytes: hold appends back until a flush is done. */
  get full(): boolean {
    return false;
  }

  /** The error for which storage stopped: nothing is written any more. */
  get failure(): Error | undefined {
    return undefined;
  }

  /**
   * Rows from `seqno` on, consecutive: each a length (u32, little endian) and that many bytes, back to back. A seqno at or below the
   * end replaces everything from there; above end + 1 is INVARIANT_BROKEN. Copied; nothing is written before flush().
   */
  append(seqno: number, rows: Uint8Array): void {
    if (seqno > this.last + 1) throw new SquallError("INVARIANT_BROKEN", `rows from ${seqno} on, and the log ends at ${this.last}`);
    const view = new DataView(rows.buffer, rows.byteOffset, rows.byteLength);
    let count = 0;
    for (let at = 0; at < rows.length; at += 4 + view.getUint32(at, true)) count++;
    this.truncate(seqno - 1);
    this.chunks.push({ seqno, count, rows: new Uint8Array(rows) });
    this.last = seqno + count - 1;
    this.dirty = true;
  }

  /** Replaces the state record, in the same step as everything else between two flushes. Copied. */
  setState(bytes: Uint8Array): void {
    this.state = new Uint8Array(bytes);
    this.dirty = true;
  }

  /**
   * Group commit: `done` when everything so far is on disk. One is in flight at most; calls meanwhile are served by one more. What was
   * appended and set between two flushes appears on disk together or not at all.
   */
  flush(done: (error?: Error) => void): void {
    this.waiting.push(done);
    if (!this.flushing) this.write();
  }

  /**
   * The state at `seqno`, in chunks. For a checkpoint (`install` false; seqno <= end) it is in force, and rows at or below it may go,
   * when `done` comes. With `install` it only lies ready then: installSnapshot() puts it in force, in one step with what follows.
   */
  writeSnapshot(seqno: number, chunks: Iterable<Uint8Array>, options: { install: boolean }, done: (error?: Error) => void): void {
    const snapshot = { seqno, bytes: new Uint8Array(Buffer.concat([...chunks])) };
    this.ready = snapshot;
    if (!options.install) {
      this.snapshot = snapshot;
      this.dirty = true;
    }
    this.flush(done);
  }
  private ready: { seqno: number; bytes: Uint8Array } | undefined;

  /** The snapshot that lies ready takes the place of everything: the log is empty and ends at its seqno. Durable with the next flush. */
  installSnapshot(seqno: number): void {
    if (this.ready?.seqno !== seqno) throw new SquallError("INVARIANT_BROKEN", `no snapshot at ${seqno} lies ready`);
    this.snapshot = this.ready;
    this.chunks = [];
    this.last = seqno;
    this.dirty = true;
  }

  /** The snapshot in force, in chunks; `done` after the last. */
  readSnapshot(onChunk: (bytes: Uint8Array) => void, done: (error?: Error) => void): void {
    setImmediate(() => {
      if (this.snapshot !== undefined) onChunk(this.snapshot.bytes);
      done();
    });
  }

  /** Writes what is buffered and marks the end as clean. */
  close(done: (error?: Error) => void): void {
    this.flush((error) => this.file.close((failure) => this.disk.unlock(() => done(error ?? failure))));
  }

  private truncate(end: number): void {
    this.chunks = this.chunks.filter((chunk) => chunk.seqno <= end);
    const last = this.chunks.at(-1);
    if (last === undefined || last.seqno + last.count - 1 <= end) return;
    const view = new DataView(last.rows.buffer, last.rows.byteOffset, last.rows.byteLength);
    let at = 0;
    for (let seqno = last.seqno; seqno <= end; seqno++) at += 4 + view.getUint32(at, true);
    this.chunks[this.chunks.length - 1] = { seqno: last.seqno, count: end - last.seqno + 1, rows: last.rows.subarray(0, at) };
  }

  private write(): void {
    const waiting = this.waiting;
    this.waiting = [];
    this.flushing = true;
    const finish = (error: Error | undefined): void => {
      this.flushing = false;
      for (const done of waiting) done(error);
      if (this.waiting.length > 0) this.write();
    };
    if (!this.dirty) {
      setImmediate(finish, undefined);
      return;
    }
    this.dirty = false;
    const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");
    const all = {
      last: this.last,
      state: this.state && hex(this.state),
      snapshot: this.snapshot && { seqno: this.snapshot.seqno, bytes: hex(this.snapshot.bytes) },
      chunks: this.chunks.map(({ seqno, count, rows }) => ({ seqno, count, rows: hex(rows) })),
    };
    this.file.writeDurable(0, Buffer.from(`${JSON.stringify(all)}\n`), finish);
  }

  private load(bytes: Uint8Array): void {
    const text = Buffer.from(bytes).toString();
    const all = JSON.parse(text.slice(0, text.indexOf("\n")));
    const from = (hex: string) => new Uint8Array(Buffer.from(hex, "hex"));
    this.last = all.last;
    this.state = all.state && from(all.state);
    this.snapshot = all.snapshot && { seqno: all.snapshot.seqno, bytes: from(all.snapshot.bytes) };
    this.chunks = all.chunks.map((chunk: { seqno: number; count: number; rows: string }) => ({ ...chunk, rows: from(chunk.rows) }));
  }
}
