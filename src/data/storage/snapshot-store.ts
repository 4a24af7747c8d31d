/** The snapshots of one open directory: which is in force, which lies ready, and the one being written. */
import type { Disk } from "./disk.js";
import type { OpenedDirectory } from "./opening.js";
import { readSnapshotFile, type SnapshotFile, snapshotName, writeSnapshotFile } from "./snapshots.js";
import { runSteps } from "./steps.js";
import { misused, storageError } from "./storage-errors.js";

type Finished = (error?: Error) => void;

interface Job {
  readonly seqno: number;
  readonly chunks: Iterable<Uint8Array>;
  readonly install: boolean;
  readonly done: Finished;
}

/** What it needs of the log. */
interface Hooks {
  /** Seqno of the last row. */
  end(): number;
  /** Commits which snapshot is in force. */
  commit(done: Finished): void;
  /** Why nothing more is to be written. */
  stopped(): Error | undefined;
}

export class SnapshotStore {
  private inForce: SnapshotFile | undefined;
  private ready: SnapshotFile | undefined;
  private next: number;
  private readonly queue: Job[] = [];
  private busy = false;
  private idle: (() => void) | undefined;
  /** Whole files that may lie on disk, by number. */
  private readonly files = new Set<number>();
  private readonly key: Uint8Array;

  constructor(
    private readonly disk: Disk,
    opened: OpenedDirectory,
    private readonly hooks: Hooks,
  ) {
    this.inForce = opened.inForce;
    this.next = opened.nextSnapshot;
    this.key = opened.key;
    if (this.inForce !== undefined) this.files.add(this.inForce.number);
  }

  get inForceSeqno(): number {
    return this.inForce?.seqno ?? 0;
  }

  get inForceFile(): number {
    return this.inForce?.number ?? 0;
  }

  write(job: Job): void {
    this.queue.push(job);
    this.begin();
  }

  /** The one that lies ready is in force. */
  install(seqno: number): void {
    if (this.ready?.seqno !== seqno) throw misused(`no snapshot at ${seqno} lies ready`);
    this.inForce = this.ready;
    this.ready = undefined;
  }

  read(onChunk: (bytes: Uint8Array) => void, done: Finished): void {
    if (this.inForce === undefined) {
      done();
      return;
    }
    const { number, seqno } = this.inForce;
    runSteps(readSnapshotFile(this.disk, { number, seqno, key: this.key }, onChunk), (error) =>
      done(error && storageError(error, `reading the snapshot at ${seqno}`)),
    );
  }

  /** Removes all files but this one, which a commit on disk names, and those that a later commit may name. */
  removeAllBut(number: number): void {
    for (const other of this.files) {
      if (other === number || other === this.inForce?.number || other === this.ready?.number) continue;
      this.files.delete(other);
      this.disk.remove(snapshotName(other), () => undefined);
    }
  }

  /** Calls back when none is being written. */
  whenIdle(done: () => void): void {
    this.idle = done;
    this.begin();
  }

  private begin(): void {
    if (this.busy) return;
    const job = this.queue.shift();
    if (job === undefined) {
      const idle = this.idle;
      this.idle = undefined;
      idle?.();
      return;
    }
    this.busy = true;
    const file = { number: this.next++, seqno: job.seqno, key: this.key };
    const check = (): void => {
      const stopped = this.hooks.stopped();
      if (stopped !== undefined) throw stopped;
    };
    runSteps(writeSnapshotFile(this.disk, file, job.chunks, check), (error, written) => {
      if (error === undefined) this.finish(job, written);
      else this.end(job, storageError(error, `writing the snapshot at ${job.seqno}`));
    });
  }

  private finish(job: Job, written: SnapshotFile): void {
    this.files.add(written.number);
    if (job.install) {
      this.ready = written;
      this.end(job, undefined);
    } else {
      // Not if another one was installed meanwhile. That need not be on disk yet: hence the commit either way.
      if (written.seqno > this.inForceSeqno && written.seqno <= this.hooks.end()) this.inForce = written;
      this.hooks.commit((error) => this.end(job, error));
    }
  }

  private end(job: Job, error: Error | undefined): void {
    this.busy = false;
    job.done(error);
    this.begin();
  }
}
