/** The files of the log: segments numbered upwards, written one after the other, dropped from the oldest on. */
import { alignedBytes } from "./block.js";
import type { Disk, DiskFile } from "./disk.js";
import { runSteps, type Steps, step } from "./steps.js";

const prefix = "log-";
const ZeroBytes = 256 * 1024;
const SyncedBytes = 4 * ZeroBytes;
const zeros = Buffer.alloc(ZeroBytes);

export function segmentName(number: number): string {
  return prefix + String(number).padStart(16, "0");
}

/** Numbers of the segments among the names, ascending. */
export function segmentNumbers(names: readonly string[]): number[] {
  return names
    .filter((name) => /^log-\d{16}$/.test(name))
    .map((name) => Number(name.slice(prefix.length)))
    .sort((a, b) => a - b);
}

export interface Segment {
  readonly number: number;
  /** The highest seqno among its rows; 0: none that is needed. */
  maxSeqno: number;
}

export interface CurrentSegment {
  readonly file: DiskFile;
  /** Where the next block goes. */
  offset: number;
  /** Up to here the file has blocks on the device: a write changes no metadata, which makes its sync cheaper. */
  readonly capacityBytes: number;
}

/** A new file of zeros: allocated, its length and its name on disk. */
export function* createSegment(disk: Disk, number: number, bytes: number): Steps<CurrentSegment> {
  const file = yield* step<DiskFile>((done) => disk.open(segmentName(number), "create", done));
  try {
    for (let at = 0; at < bytes; at += ZeroBytes) {
      yield* step((done) => file.write(at, zeros.subarray(0, Math.min(ZeroBytes, bytes - at)), done));
      // In small portions: commits go to the same device meanwhile.
      if (at % SyncedBytes === 0 || at + ZeroBytes >= bytes) yield* step((done) => file.sync(done));
    }
    yield* step((done) => disk.syncDirectory(done));
  } catch (error) {
    // What was written of it is room that others may need.
    yield* ignoringErrors(step((done) => file.close(done)));
    yield* ignoringErrors(step((done) => disk.remove(segmentName(number), done)));
    throw error;
  }
  return { file, offset: 0, capacityBytes: bytes };
}

export function* ignoringErrors(steps: Steps<unknown>): Steps<void> {
  try {
    yield* steps;
  } catch {
    // The caller has a better error, or none of this matters.
  }
}

export class Segments {
  private next: CurrentSegment | undefined;
  private preparing = false;
  private whenPrepared: ((error: Error | undefined) => void) | undefined;

  /** `list`: all that are needed, the current one last. */
  constructor(
    private readonly disk: Disk,
    private readonly segmentBytes: number,
    private readonly list: Segment[],
    private current: CurrentSegment,
  ) {}

  get number(): number {
    return this.list.at(-1)!.number;
  }

  get oldest(): number {
    return this.list[0]!.number;
  }

  get file(): DiskFile {
    return this.current.file;
  }

  fits(contentBytes: number): boolean {
    return this.current.offset + alignedBytes(contentBytes) <= this.current.capacityBytes;
  }

  /** Takes the place of a block of `bytes` in the current segment: its offset. `maxSeqno`: the highest seqno of its rows. */
  place(bytes: number, maxSeqno: number): number {
    const offset = this.current.offset;
    this.current.offset += bytes;
    const segment = this.list.at(-1)!;
    segment.maxSeqno = Math.max(segment.maxSeqno, maxSeqno);
    if (this.current.offset > this.current.capacityBytes / 2) this.prepare();
    return offset;
  }

  /** No row written so far is needed any more. */
  forgetRows(): void {
    for (const segment of this.list) segment.maxSeqno = 0;
  }

  /** Takes the segments with no row above `seqno` off the list; the current one stays. Their files are the caller's to remove. */
  drop(seqno: number): number[] {
    let count = 0;
    while (count < this.list.length - 1 && this.list[count]!.maxSeqno <= seqno) count++;
    return this.list.splice(0, count).map((segment) => segment.number);
  }

  /** Makes the next segment ahead of its use, in the background. An error counts only when the segment is needed and fails again. */
  private prepare(): void {
    if (this.preparing || this.next !== undefined) return;
    this.preparing = true;
    runSteps(createSegment(this.disk, this.number + 1, this.segmentBytes), (error, next) => {
      this.preparing = false;
      if (error === undefined) this.next = next;
      const waiting = this.whenPrepared;
      this.whenPrepared = undefined;
      waiting?.(error);
    });
  }

  /** Makes the next segment current. */
  *roll(): Steps<void> {
    if (this.preparing) yield* ignoringErrors(step((done) => this.onPrepared(done)));
    if (this.next === undefined) {
      this.prepare();
      yield* step((done) => this.onPrepared(done));
    }
    const full = this.current;
    this.list.push({ number: this.number + 1, maxSeqno: 0 });
    this.current = this.next!;
    this.next = undefined;
    yield* step((done) => full.file.close(done));
  }

  /** Ends what is under way and closes the files. */
  *close(): Steps<void> {
    if (this.preparing) yield* ignoringErrors(step((done) => this.onPrepared(done)));
    if (this.next !== undefined) yield* ignoringErrors(step((done) => this.next!.file.close(done)));
    yield* step((done) => this.current.file.close(done));
  }

  private onPrepared(done: (error: Error | undefined, value: undefined) => void): void {
    this.whenPrepared = (error) => done(error, undefined);
  }
}
