/**
 * What a replica keeps on disk: a small state record, a log of rows with consecutive seqnos, and the newest snapshot. Group commit: all
 * that came between two flushes is one block, written once and either wholly there after a crash or not at all.
 */
import { SquallError } from "../../errors.js";
import { alignedBytes, BlockKind, sealBlock } from "./block.js";
import { CommitBuffer, countRows, PartKind } from "./commit-buffer.js";
import type { Disk, DiskFile } from "./disk.js";
import { FailedName, type OpenedDirectory, openDirectory } from "./opening.js";
import type { Recovered } from "./recovered.js";
import { ignoringErrors, Segments, segmentName } from "./segments.js";
import { SnapshotStore } from "./snapshot-store.js";
import { runSteps, type Steps, step } from "./steps.js";
import { misused, storageError } from "./storage-errors.js";

export interface StorageOptions {
  /** Whose directory it is: another one's is refused. `cluster`: 8 bytes. */
  readonly identity: { readonly cluster: Uint8Array; readonly replica: number };
  /** Size of a log file; a larger commit gets a file of its own size. Default 16 MiB. */
  readonly segmentBytes?: number;
  /** Buffered bytes from which on `full` holds. Default 4 MiB. */
  readonly bufferBytes?: number;
  /** A damaged directory loses log, snapshot and state, and is opened as one whose memory was lost. An undamaged one is opened as ever. */
  readonly repair?: boolean;
}

export interface OpenedStorage {
  readonly storage: ReplicaStorage;
  readonly recovered: Recovered;
}

export type Flushed = (error?: Error) => void;

const DefaultSegmentBytes = 16 * 1024 * 1024;
const DefaultBufferBytes = 4 * 1024 * 1024;

/** One group commit on its way: what is buffered later is not of it. */
interface Commit {
  readonly buffer: CommitBuffer;
  readonly kind: number;
  readonly waiting: Flushed[];
  /** Whether the state is among its parts already. */
  readonly hasState: boolean;
  readonly state: Uint8Array | undefined;
  readonly endAfter: number;
  readonly maxSeqno: number;
  readonly reset: boolean;
  readonly snapshotSeqno: number;
  readonly snapshotFile: number;
}

export class ReplicaStorage {
  private readonly segments: Segments;
  private readonly snapshots: SnapshotStore;
  private readonly key: Uint8Array;
  private readonly bufferBytes: number;
  private filling = new CommitBuffer();
  private spare = new CommitBuffer();
  private waiting: Flushed[] = [];
  private commit: Commit | undefined;
  private failed: SquallError | undefined;
  private closing = false;

  private state: Uint8Array | undefined;
  private stateIsNew = false;
  private snapshotIsNew = false;
  private wasReset = false;
  private last: number;
  /** The highest seqno buffered since the last commit. */
  private highest = 0;

  private sequence: number;
  /** The log's end as the last commit left it. */
  private committedEnd: number;
  /** The last commit on disk has content, and nothing behind it. */
  private unmarked = true;

  private constructor(
    private readonly disk: Disk,
    opened: OpenedDirectory,
    options: { segmentBytes: number; bufferBytes: number },
  ) {
    this.key = opened.key;
    this.bufferBytes = options.bufferBytes;
    this.segments = new Segments(disk, options.segmentBytes, opened.segments, opened.current);
    this.snapshots = new SnapshotStore(disk, opened, {
      end: () => this.last,
      commit: (done) => {
        this.snapshotIsNew = true;
        this.commitAll(done);
      },
      stopped: () => this.failed ?? (this.closing ? new SquallError("CLOSED", "the storage was closed") : undefined),
    });
    this.state = opened.recovered.state;
    this.last = opened.recovered.entries.end;
    this.committedEnd = this.last;
    this.sequence = opened.sequence;
  }

  /** As openWith, as a promise. */
  static open(disk: Disk, options: StorageOptions): Promise<OpenedStorage> {
    return new Promise((resolve, reject) => {
      ReplicaStorage.openWith(disk, options, (error, opened) => (error === undefined ? resolve(opened) : reject(error)));
    });
  }

  /** Reads what is there. Errors: SquallError STORAGE_*; the directory is as it was then, except that a repair may have begun. */
  static openWith(disk: Disk, options: StorageOptions, done: (error: Error | undefined, opened: OpenedStorage) => void): void {
    runSteps(ReplicaStorage.opening(disk, options), done);
  }

  private static *opening(disk: Disk, options: StorageOptions): Steps<OpenedStorage> {
    const { segmentBytes = DefaultSegmentBytes, bufferBytes = DefaultBufferBytes, repair = false } = options;
    const cluster = Buffer.from(options.identity.cluster).toString("hex");
    try {
      yield* step<void>((done) => disk.lock(done));
    } catch (error) {
      throw storageError(error as Error, "locking the data directory");
    }
    try {
      const opened = yield* openDirectory(disk, { cluster, replica: options.identity.replica, segmentBytes, repair });
      return { storage: new ReplicaStorage(disk, opened, { segmentBytes, bufferBytes }), recovered: opened.recovered };
    } catch (error) {
      yield* ignoringErrors(step((done) => disk.unlock(done)));
      throw storageError(error as Error, "opening the data directory");
    }
  }

  /** Seqno of the last row; the snapshot's if there is none above it. */
  get end(): number {
    return this.last;
  }

  /** More is buffered than options.bufferBytes: hold appends back until a flush is done. */
  get full(): boolean {
    return this.filling.contentBytes >= this.bufferBytes;
  }

  /** The error for which storage stopped, for good: nothing is written any more, and every flush ends with it. */
  get failure(): SquallError | undefined {
    return this.failed;
  }

  /**
   * Rows from `seqno` on, consecutive: each a length (u32, little endian) and that many bytes, back to back. A seqno at or below the
   * end replaces everything from there, also with no rows at all; above end + 1, or at or below the snapshot in force, is
   * INVARIANT_BROKEN. Copied; nothing is written before flush().
   */
  append(seqno: number, rows: Uint8Array): void {
    if (seqno > this.last + 1) throw misused(`rows from ${seqno} on, and the log ends at ${this.last}`);
    if (seqno <= this.snapshots.inForceSeqno) throw misused(`row ${seqno} is part of the snapshot at ${this.snapshots.inForceSeqno}`);
    const count = countRows(rows);
    if (count === undefined) throw misused(`the lengths of the rows from ${seqno} on do not add up to ${rows.length} bytes`);
    this.filling.appendRows(seqno, rows, seqno === this.last + 1);
    this.last = seqno + count - 1;
    this.highest = Math.max(this.highest, this.last);
  }

  /** Replaces the state record, in the same step as everything else between two flushes. Copied. */
  setState(bytes: Uint8Array): void {
    this.state = new Uint8Array(bytes);
    this.stateIsNew = true;
  }

  /**
   * Group commit: `done` when everything so far is on disk, before flush returns if it is already. One is in flight at most; calls
   * meanwhile are served by the next one together. After close(): CLOSED.
   */
  flush(done: Flushed): void {
    if (this.closing) done(new SquallError("CLOSED", "the storage was closed"));
    else this.commitAll(done);
  }

  private commitAll(done: Flushed): void {
    if (this.failed !== undefined) done(this.failed);
    else if (this.hasNews()) {
      this.waiting.push(done);
      this.begin();
    } else if (this.commit !== undefined) this.commit.waiting.push(done);
    else done();
  }

  /**
   * Puts an empty commit behind the last one, if there is none: damage to the last one is then known as such, and not taken for a commit
   * that a crash cut off. For idle times.
   */
  mark(done: Flushed): void {
    if (this.failed !== undefined || this.commit !== undefined || this.hasNews() || !this.unmarked || this.closing) this.flush(done);
    else this.write(BlockKind.Commit, [done]);
  }

  /**
   * The state at `seqno`, in chunks. For a checkpoint (`install` false; seqno <= end) it is in force, and rows at or below it may go,
   * when `done` comes. With `install` it only lies ready then: installSnapshot() puts it in force, in one step with what follows. Several
   * are written one after the other. An error other than `failure` leaves the former snapshot in force, and the log goes on.
   */
  writeSnapshot(seqno: number, chunks: Iterable<Uint8Array>, options: { install: boolean }, done: Flushed): void {
    if (!options.install && seqno > this.last) throw misused(`a snapshot at ${seqno} of a log that ends at ${this.last}`);
    this.snapshots.write({ seqno, chunks, install: options.install, done });
  }

  /** The snapshot that lies ready takes the place of everything: the log is empty and ends at its seqno. Durable with the next flush. */
  installSnapshot(seqno: number): void {
    this.snapshots.install(seqno);
    this.filling.appendPart(PartKind.Reset, seqno, new Uint8Array(0));
    this.last = seqno;
    this.highest = 0;
    this.wasReset = true;
    this.snapshotIsNew = true;
  }

  /** The snapshot in force, in chunks; `done` after the last. */
  readSnapshot(onChunk: (bytes: Uint8Array) => void, done: Flushed): void {
    this.snapshots.read(onChunk, done);
  }

  /** Writes what is buffered, marks the end as clean, and gives the directory back. A snapshot under way is given up. */
  close(done: Flushed): void {
    if (this.closing) throw misused("closed twice");
    this.closing = true;
    runSteps(this.closingSteps(), (error) => done(error ?? this.failed));
  }

  private *closingSteps(): Steps<void> {
    yield* step((next) => this.snapshots.whenIdle(() => next(undefined, undefined)));
    yield* ignoringErrors(step((next) => this.commitAll((error) => next(error, undefined))));
    if (this.failed === undefined)
      yield* ignoringErrors(step((next) => this.write(BlockKind.CleanEnd, [(error) => next(error, undefined)])));
    yield* ignoringErrors(this.segments.close());
    yield* ignoringErrors(step((next) => this.disk.unlock(next)));
  }

  private hasNews(): boolean {
    return this.filling.contentBytes > 0 || this.stateIsNew || this.snapshotIsNew;
  }

  private begin(): void {
    if (this.commit !== undefined || this.waiting.length === 0) return;
    const waiting = this.waiting;
    this.waiting = [];
    this.write(BlockKind.Commit, waiting);
  }

  /** Takes what is buffered as one commit. */
  private write(kind: number, waiting: Flushed[]): void {
    const buffer = this.filling;
    this.filling = this.spare;
    this.spare = buffer;
    const commit: Commit = {
      buffer,
      kind,
      waiting,
      hasState: this.stateIsNew,
      state: this.state,
      endAfter: this.last,
      maxSeqno: this.highest,
      reset: this.wasReset,
      snapshotSeqno: this.snapshots.inForceSeqno,
      snapshotFile: this.snapshots.inForceFile,
    };
    this.commit = commit;
    this.stateIsNew = false;
    this.snapshotIsNew = false;
    this.wasReset = false;
    this.highest = 0;
    if (commit.hasState) buffer.appendPart(PartKind.State, 0, commit.state!);
    if (this.segments.fits(buffer.contentBytes)) this.writeBlock(commit);
    else
      runSteps(this.segments.roll(), (error) => {
        if (error !== undefined) this.fail(error, "making a file of the log");
        else {
          // Every segment begins with the state, so that those before it are needed for their rows only.
          if (!commit.hasState && commit.state !== undefined) buffer.appendPart(PartKind.State, 0, commit.state);
          this.writeBlock(commit);
        }
      });
  }

  private writeBlock(commit: Commit): void {
    const { buffer, kind, endAfter, snapshotSeqno, snapshotFile } = commit;
    if (commit.reset) this.segments.forgetRows();
    const offset = this.segments.place(alignedBytes(buffer.contentBytes), commit.maxSeqno);
    const dropped = this.segments.drop(snapshotSeqno);
    const contentBytes = buffer.contentBytes;
    this.sequence++;
    const numbers = { file: this.segments.number, sequence: this.sequence, oldestSegment: this.segments.oldest, contentBytes };
    const block = sealBlock(
      buffer.bytes,
      { kind, endBefore: this.committedEnd, endAfter, snapshotSeqno, snapshotFile, ...numbers },
      this.key,
    );
    this.segments.file.writeDurable(offset, block, (error) => {
      if (error !== undefined) {
        this.fail(error, "writing the log");
        return;
      }
      this.committedEnd = endAfter;
      this.unmarked = contentBytes > 0;
      for (const number of dropped) this.disk.remove(segmentName(number), () => undefined);
      this.snapshots.removeAllBut(snapshotFile);
      buffer.clear(this.bufferBytes);
      this.commit = undefined;
      for (const done of commit.waiting) done();
      this.begin();
    });
  }

  /**
   * For good: after a failed write or sync the system may show as written what is not on disk, and a second sync would succeed without
   * writing it. Whoever opens the directory next must know.
   */
  private fail(error: Error, what: string): void {
    this.failed = storageError(error, what);
    const waiting = [...this.commit!.waiting, ...this.waiting];
    this.commit = undefined;
    this.waiting = [];
    if (this.failed.code === "STORAGE_FAILED")
      this.disk.open(FailedName, "create", (_, file: DiskFile | undefined) => file?.close(() => undefined));
    for (const done of waiting) done(this.failed);
  }
}
