/** For operators, when a group has lost too many replicas: what can be saved from one directory, damaged or not. */
import { SquallError } from "../../errors.js";
import type { Disk } from "./disk.js";
import { readIdentity } from "./identity.js";
import { ignoringErrors } from "./segments.js";
import { readSnapshotFile, snapshotNumber } from "./snapshots.js";
import { runSteps, type Steps, step } from "./steps.js";
import { storageError } from "./storage-errors.js";

export interface NewestSnapshot {
  /** Whose directory it is: the cluster's id in hexadecimal. */
  readonly cluster: string;
  readonly replica: number;
  readonly seqno: number;
  readonly chunks: readonly Uint8Array[];
}

/**
 * The whole and undamaged snapshot with the highest seqno; undefined: there is none. Changes nothing. Errors: STORAGE_LOCKED while a replica
 * uses the directory, STORAGE_CORRUPT without a good identity, STORAGE_DENIED, STORAGE_FAILED.
 */
export function readNewestSnapshot(disk: Disk, done: (error: Error | undefined, newest: NewestSnapshot | undefined) => void): void {
  runSteps(lockedSteps(disk), (error, newest) => done(error && storageError(error, "reading the data directory"), newest));
}

function* lockedSteps(disk: Disk): Steps<NewestSnapshot | undefined> {
  yield* step<void>((done) => disk.lock(done));
  try {
    return yield* newestSteps(disk);
  } finally {
    yield* ignoringErrors(step((done) => disk.unlock(done)));
  }
}

function* newestSteps(disk: Disk): Steps<NewestSnapshot | undefined> {
  const { cluster, replica, key } = yield* readIdentity(disk);
  const names = yield* step<string[]>((done) => disk.list(done));
  let newest: NewestSnapshot | undefined;
  for (const name of names.filter((name) => /^snapshot-\d{16}$/.test(name))) {
    const chunks: Uint8Array[] = [];
    try {
      const file = { number: snapshotNumber(name), seqno: undefined, key };
      const { seqno } = yield* readSnapshotFile(disk, file, (chunk) => chunks.push(chunk));
      if (newest === undefined || seqno > newest.seqno) newest = { cluster, replica, seqno, chunks };
    } catch (error) {
      // A damaged one; another may be good.
      if (!(error instanceof SquallError)) throw error;
    }
  }
  return newest;
}
