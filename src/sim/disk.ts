/**
 * A disk that loses power: what was not synced is lost or kept sector by sector, in any subset. Deterministic: latencies and losses come
 * from the generator, completions from the caller's event queue.
 */
import type { Disk, DiskFile, Done } from "../data/storage/disk.js";
import type { Prng } from "./prng.js";

export const SectorBytes = 512;
const PageBytes = 4096;

export interface SimulatedDiskOptions {
  readonly prng: Prng;
  /** Runs it that much later, in virtual time. */
  readonly after: (delayUs: number, run: () => void) => void;
  /** Log-uniform between these. Default 5 to 50 µs, 50 to 2,000 µs with a sync. */
  readonly operationUs?: readonly [number, number];
  readonly syncUs?: readonly [number, number];
}

/** A write that is in the system's cache. */
interface CachedWrite {
  readonly offset: number;
  readonly bytes: Buffer;
}

/** A file apart from its names. */
class Inode {
  /** As programs see it. */
  cached = Buffer.alloc(0);
  /** As the device has it. */
  durable = Buffer.alloc(0);
  /** What distinguishes the two, in order. */
  unsynced: CachedWrite[] = [];
  /** Issued and not completed. */
  readonly underWay = new Set<CachedWrite>();
}

function place(into: Buffer<ArrayBuffer>, { offset, bytes }: CachedWrite): Buffer<ArrayBuffer> {
  const end = offset + bytes.length;
  const grown = end <= into.length ? into : Buffer.concat([into, Buffer.alloc(end - into.length)]);
  bytes.copy(grown, offset);
  return grown;
}

function fault(code: string): NodeJS.ErrnoException {
  return Object.assign(new Error(`${code}: simulated`), { code });
}

export class SimulatedDisk implements Disk {
  /** Bytes that all files together may have; beyond it ENOSPC. */
  capacityBytes = Number.POSITIVE_INFINITY;
  /** The next write, or the next sync, fails with EIO; it is cleared by that. */
  failNextWrite = false;
  failNextSync = false;

  private names = new Map<string, Inode>();
  private durableNames = new Map<string, Inode>();
  /** Changes of `names` that are not on the device, in order. */
  private unsyncedChanges: ((names: Map<string, Inode>) => void)[] = [];
  private locked = false;
  /** Counts deaths of the process: callbacks of an earlier one never come. */
  private life = 0;
  private readonly prng: Prng;
  private readonly after: (delayUs: number, run: () => void) => void;
  private readonly operationUs: readonly [number, number];
  private readonly syncUs: readonly [number, number];

  constructor(options: SimulatedDiskOptions) {
    this.prng = options.prng;
    this.after = options.after;
    this.operationUs = options.operationUs ?? [5, 50];
    this.syncUs = options.syncUs ?? [50, 2_000];
  }

  /** kill -9: what was written stays in the system's cache; of a write under way some. */
  processLoss(): void {
    this.endProcess((inode) => {
      for (const write of inode.underWay) this.applyToCache(inode, cut(write, this.prng.below(write.bytes.length + 1)));
      inode.underWay.clear();
    });
  }

  /** Of what was not synced, each sector is there or not; of changed names a first part is there. */
  powerLoss(): void {
    const keptShare = this.prng.pick([0, 0.1, 0.5, 0.9, 1]);
    const names = new Map(this.durableNames);
    const changes = this.prng.below(this.unsyncedChanges.length + 1);
    for (const change of this.unsyncedChanges.slice(0, changes)) change(names);
    this.endProcess((inode) => {
      for (const write of [...inode.unsynced, ...inode.underWay])
        for (const sector of sectorsOf(write)) if (this.prng.chance(keptShare)) inode.durable = place(inode.durable, sector);
      inode.unsynced = [];
      inode.underWay.clear();
      inode.cached = Buffer.from(inode.durable);
    });
    this.names = names;
    this.durableNames = new Map(names);
    this.unsyncedChanges = [];
  }

  /** Changes one bit of a file, in the cache and on the device. */
  rot(name: string, offset: number, bit: number): void {
    const inode = this.names.get(name)!;
    for (const bytes of [inode.cached, inode.durable]) if (offset < bytes.length) bytes[offset]! ^= 1 << bit;
  }

  /** Name and length of every file, as programs see them. */
  files(): { name: string; bytes: number }[] {
    return [...this.names].map(([name, inode]) => ({ name, bytes: inode.cached.length })).sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  /** The bytes that programs see; for tests that change them on purpose. */
  contents(name: string): Buffer {
    return this.names.get(name)!.cached;
  }

  lock(done: Done): void {
    this.complete(this.operationUs, done, () => {
      if (this.locked) throw fault("EBUSY");
      this.locked = true;
    });
  }

  unlock(done: Done): void {
    this.complete(this.operationUs, done, () => {
      this.locked = false;
    });
  }

  list(done: Done<string[]>): void {
    this.complete(this.operationUs, done, () => [...this.names.keys()].sort());
  }

  open(name: string, how: "create" | "open", done: Done<DiskFile>): void {
    this.complete(this.operationUs, done, () => {
      const existing = this.names.get(name);
      if (how === "create" && existing !== undefined) throw fault("EEXIST");
      if (how === "open" && existing === undefined) throw fault("ENOENT");
      const inode = existing ?? new Inode();
      if (existing === undefined) this.change((names) => names.set(name, inode));
      return new SimulatedFile(this, inode, inode.cached.length);
    });
  }

  rename(from: string, to: string, done: Done): void {
    this.complete(this.operationUs, done, () => {
      const inode = this.names.get(from);
      if (inode === undefined) throw fault("ENOENT");
      this.change((names) => names.delete(from) && names.set(to, inode));
    });
  }

  remove(name: string, done: Done): void {
    this.complete(this.operationUs, done, () => {
      if (!this.names.has(name)) throw fault("ENOENT");
      this.change((names) => names.delete(name));
    });
  }

  syncDirectory(done: Done): void {
    const covered = this.unsyncedChanges.length;
    this.complete(this.syncUs, done, () => {
      for (const change of this.unsyncedChanges.splice(0, Math.min(covered, this.unsyncedChanges.length))) change(this.durableNames);
    });
  }

  random(bytes: number): Uint8Array {
    return Uint8Array.from({ length: bytes }, () => this.prng.below(256));
  }

  /** For SimulatedFile. */
  read(inode: Inode, offset: number, bytes: number, done: Done<Buffer>): void {
    this.complete(this.operationUs, done, () => Buffer.from(inode.cached.subarray(offset, offset + bytes)));
  }

  /** For SimulatedFile: `sync` makes it durable, and whatever lies in the same pages. */
  write(inode: Inode, offset: number, bytes: Uint8Array, sync: boolean, done: Done): void {
    const write = { offset, bytes: Buffer.from(bytes) };
    inode.underWay.add(write);
    this.complete(sync ? this.syncUs : this.operationUs, done, () => {
      inode.underWay.delete(write);
      if (this.failNextWrite) {
        this.failNextWrite = false;
        this.applyToCache(inode, cut(write, this.prng.below(write.bytes.length + 1)));
        throw fault("EIO");
      }
      const room = this.capacityBytes - this.files().reduce((sum, file) => sum + file.bytes, 0);
      const growth = Math.max(0, offset + bytes.length - inode.cached.length);
      if (growth > room) {
        this.applyToCache(inode, cut(write, Math.max(0, bytes.length - growth + Math.max(0, room))));
        throw fault("ENOSPC");
      }
      this.applyToCache(inode, write);
      if (sync)
        this.syncNow(
          inode,
          inode.unsynced.filter((other) => samePage(other, write)),
        );
    });
  }

  /** For SimulatedFile. */
  sync(inode: Inode, done: Done): void {
    const covered = [...inode.unsynced];
    this.complete(this.syncUs, done, () => this.syncNow(inode, covered));
  }

  /** For SimulatedFile. */
  close(done: Done): void {
    this.complete(this.operationUs, done, () => undefined);
  }

  /** These writes reach the device; or fail to, and are taken for clean from then on, as Linux does. */
  private syncNow(inode: Inode, covered: readonly CachedWrite[]): void {
    const reached = inode.unsynced.filter((write) => covered.includes(write));
    inode.unsynced = inode.unsynced.filter((write) => !covered.includes(write));
    if (this.failNextSync) {
      this.failNextSync = false;
      throw fault("EIO");
    }
    for (const write of reached) inode.durable = place(inode.durable, write);
  }

  private applyToCache(inode: Inode, write: CachedWrite): void {
    if (write.bytes.length === 0) return;
    inode.cached = place(inode.cached, write);
    inode.unsynced.push(write);
  }

  private change(apply: (names: Map<string, Inode>) => void): void {
    apply(this.names);
    this.unsyncedChanges.push(apply);
  }

  private endProcess(each: (inode: Inode) => void): void {
    this.life++;
    this.locked = false;
    for (const inode of new Set([...this.names.values(), ...this.durableNames.values()])) each(inode);
  }

  private complete<T>(latencyUs: readonly [number, number], done: Done<T>, work: () => T): void {
    const { life } = this;
    this.after(this.prng.spread(...latencyUs), () => {
      if (life !== this.life) return;
      let value: T;
      try {
        value = work();
      } catch (error) {
        done(error as NodeJS.ErrnoException, undefined as T);
        return;
      }
      done(undefined, value);
    });
  }
}

class SimulatedFile implements DiskFile {
  constructor(
    private readonly disk: SimulatedDisk,
    private readonly inode: Inode,
    readonly sizeBytes: number,
  ) {}

  read(offset: number, bytes: number, done: Done<Buffer>): void {
    this.disk.read(this.inode, offset, bytes, done);
  }

  write(offset: number, bytes: Uint8Array, done: Done): void {
    this.disk.write(this.inode, offset, bytes, false, done);
  }

  writeDurable(offset: number, bytes: Uint8Array, done: Done): void {
    this.disk.write(this.inode, offset, bytes, true, done);
  }

  sync(done: Done): void {
    this.disk.sync(this.inode, done);
  }

  close(done: Done): void {
    this.disk.close(done);
  }
}

function cut({ offset, bytes }: CachedWrite, length: number): CachedWrite {
  return { offset, bytes: bytes.subarray(0, length) };
}

function samePage(one: CachedWrite, other: CachedWrite): boolean {
  const first = Math.floor(other.offset / PageBytes) * PageBytes;
  const end = Math.ceil((other.offset + other.bytes.length) / PageBytes) * PageBytes;
  return one.offset < end && one.offset + one.bytes.length > first;
}

/** The write in pieces, each within one sector. */
function sectorsOf({ offset, bytes }: CachedWrite): CachedWrite[] {
  const pieces: CachedWrite[] = [];
  for (let at = 0; at < bytes.length; ) {
    const end = Math.min(bytes.length, at + SectorBytes - ((offset + at) % SectorBytes));
    pieces.push({ offset: offset + at, bytes: bytes.subarray(at, end) });
    at = end;
  }
  return pieces;
}
