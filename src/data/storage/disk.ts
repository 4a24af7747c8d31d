/**
 * What storage asks of a disk: one directory of flat files. A real directory (file-disk.ts) and the simulator's disk (sim/disk.ts)
 * implement it. Callbacks, no promises: the simulator completes them from its own event queue, in virtual time and in one order.
 * A callback is called once, never before the call that it was passed to has returned.
 */

/** `error` has the errno's name as `code`, as in Node. */
export type Done<T = void> = (error: NodeJS.ErrnoException | undefined, value: T) => void;

export interface DiskFile {
  /** Its length in bytes when it was opened. */
  readonly sizeBytes: number;
  /** Up to `bytes` of them from `offset`, fewer at the end of the file. They are the caller's. */
  read(offset: number, bytes: number, done: Done<Buffer>): void;
  /** Written, in no order with other writes, and on disk only after sync(). `bytes` stays untouched until `done`. */
  write(offset: number, bytes: Uint8Array, done: Done): void;
  /** Written and on disk: these bytes and the length that they need, not what else was written before. An error is as one of sync(). */
  writeDurable(offset: number, bytes: Uint8Array, done: Done): void;
  /** The file's bytes and length are on disk. After an error nothing is known about any byte written since the last success. */
  sync(done: Done): void;
  /** Once; later calls do nothing. */
  close(done: Done): void;
}

export interface Disk {
  /** Takes the directory for this process alone, makes it if need be. EBUSY: somebody else has it. */
  lock(done: Done): void;
  unlock(done: Done): void;
  list(done: Done<string[]>): void;
  /** "create": anew and empty, EEXIST otherwise. "open": for reading and writing, ENOENT if there is none. */
  open(name: string, how: "create" | "open", done: Done<DiskFile>): void;
  /** Replaces `to`. Like create and remove on disk only after syncDirectory(). */
  rename(from: string, to: string, done: Done): void;
  remove(name: string, done: Done): void;
  syncDirectory(done: Done): void;
  /** Unpredictable bytes (from the seed in the simulator). */
  random(bytes: number): Uint8Array;
}
