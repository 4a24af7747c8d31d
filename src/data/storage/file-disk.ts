/** A directory of the file system as a Disk. Everything runs on libuv's thread pool; nothing blocks the loop. */
import { randomBytes } from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import { getSystemErrorName } from "node:util";
import type { Disk, DiskFile, Done } from "./disk.js";

const LockName = "lock";

export class FileDisk implements Disk {
  private lockFd: number | undefined;

  /** `lockFile`: the addon's, flock: it ends with the process, kill -9 included, and holds in all of the machine's containers. */
  constructor(
    private readonly directory: string,
    private readonly lockFile: (fd: number) => number,
  ) {}

  lock(done: Done): void {
    makeDirectory(this.directory, (error) => {
      if (error !== undefined) done(error);
      else
        fs.open(this.path(LockName), "a", 0o600, (failure, fd) => {
          if (failure !== null) done(failure);
          else this.lockOpen(fd, done);
        });
    });
  }

  unlock(done: Done): void {
    const fd = this.lockFd;
    this.lockFd = undefined;
    if (fd === undefined) setImmediate(done, undefined);
    else fs.close(fd, (error) => done(error ?? undefined));
  }

  list(done: Done<string[]>): void {
    fs.readdir(this.directory, (error, names) => done(error ?? undefined, names));
  }

  open(name: string, how: "create" | "open", done: Done<DiskFile>): void {
    fs.open(this.path(name), how === "create" ? "wx+" : "r+", 0o600, (error, fd) => {
      if (error !== null) done(error, undefined as never);
      else
        fs.fstat(fd, (failure, stats) => {
          if (failure === null) done(undefined, new OpenFile(fd, this.path(name), stats.size));
          else fs.close(fd, () => done(failure, undefined as never));
        });
    });
  }

  rename(from: string, to: string, done: Done): void {
    fs.rename(this.path(from), this.path(to), (error) => done(error ?? undefined));
  }

  remove(name: string, done: Done): void {
    fs.unlink(this.path(name), (error) => done(error ?? undefined));
  }

  syncDirectory(done: Done): void {
    fs.open(this.directory, "r", (error, fd) => {
      if (error !== null) done(error);
      else fs.fsync(fd, (failure) => fs.close(fd, () => done(failure ?? undefined)));
    });
  }

  random(bytes: number): Uint8Array {
    return randomBytes(bytes);
  }

  private lockOpen(fd: number, done: Done): void {
    const errno = this.lockFile(fd);
    if (errno === 0) {
      this.lockFd = fd;
      done(undefined);
      return;
    }
    const code = getSystemErrorName(-errno);
    fs.close(fd, () => done(Object.assign(new Error(`${code}: flock ${this.path(LockName)}`), { code })));
  }

  private path(name: string): string {
    return path.join(this.directory, name);
  }
}

/**
 * With those above it. Not by Node's `recursive`, which tries for ever where a directory can't be made though the one above it is there, as
 * in /proc.
 */
function makeDirectory(directory: string, done: Done): void {
  const parent = path.dirname(directory);
  fs.mkdir(directory, { mode: 0o700 }, (error) => {
    if (error === null) done(undefined);
    else if (error.code === "EEXIST") fs.stat(directory, (failure, stats) => done(failure ?? (stats.isDirectory() ? undefined : error)));
    else if (error.code !== "ENOENT" || parent === directory) done(error);
    else
      makeDirectory(parent, (failure) => {
        if (failure !== undefined) done(failure);
        else fs.mkdir(directory, { mode: 0o700 }, (again) => done(again === null || again.code === "EEXIST" ? undefined : again));
      });
  });
}

class OpenFile implements DiskFile {
  private closed = false;
  /** The file once more, opened for durable writes. */
  private durableFd: number | undefined;

  constructor(
    private readonly fd: number,
    private readonly path: string,
    readonly sizeBytes: number,
  ) {}

  read(offset: number, bytes: number, done: Done<Buffer>): void {
    const buffer = Buffer.allocUnsafeSlow(bytes);
    const more = (filled: number): void => {
      fs.read(this.fd, buffer, filled, bytes - filled, offset + filled, (error, count) => {
        if (error !== null) done(error, undefined as never);
        else if (count === 0 || filled + count === bytes) done(undefined, buffer.subarray(0, filled + count));
        else more(filled + count);
      });
    };
    more(0);
  }

  write(offset: number, bytes: Uint8Array, done: Done): void {
    writeAll(this.fd, offset, bytes, done);
  }

  /** O_DSYNC: one trip to the thread pool instead of two. Elsewhere than on Linux it promises less than libuv's fdatasync. */
  writeDurable(offset: number, bytes: Uint8Array, done: Done): void {
    if (this.durableFd !== undefined) writeAll(this.durableFd, offset, bytes, done);
    else if (process.platform !== "linux")
      writeAll(this.fd, offset, bytes, (error) => {
        if (error === undefined) this.sync(done);
        else done(error);
      });
    else
      fs.open(this.path, fs.constants.O_WRONLY | fs.constants.O_DSYNC, (error, fd) => {
        if (error !== null) {
          done(error);
          return;
        }
        this.durableFd = fd;
        this.writeDurable(offset, bytes, done);
      });
  }

  sync(done: Done): void {
    fs.fdatasync(this.fd, (error) => done(error ?? undefined));
  }

  close(done: Done): void {
    if (this.closed) {
      setImmediate(done, undefined);
      return;
    }
    // Once: the number may be another file's by then.
    this.closed = true;
    const { durableFd } = this;
    fs.close(this.fd, (error) => {
      if (durableFd === undefined) done(error ?? undefined);
      else fs.close(durableFd, (failure) => done(error ?? failure ?? undefined));
    });
  }
}

function writeAll(fd: number, offset: number, bytes: Uint8Array, done: Done): void {
  fs.write(fd, bytes, 0, bytes.length, offset, (error, written) => {
    if (error !== null) done(error);
    else if (written < bytes.length) writeAll(fd, offset + written, bytes.subarray(written), done);
    else done(undefined);
  });
}
