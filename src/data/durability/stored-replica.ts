/** A replica's data directory, opened and read: what the replica was when its process ended. */
import type { Snapshot } from "../../control/snapshot.js";
import { SquallError } from "../../errors.js";
import { DurabilityLevel, type NativeBinding } from "../binding.js";
import type { Disk } from "../storage/disk.js";
import { FileDisk } from "../storage/file-disk.js";
import { type Recovered, rowsOf } from "../storage/recovered.js";
import { runSteps, type Steps, step } from "../storage/steps.js";
import { type OpenedStorage, ReplicaStorage } from "../storage/storage.js";
import { decodeSnapshot } from "./stored-snapshot.js";
import { decodeState, encodeState, type StoredState } from "./stored-state.js";

const HashBytes = 32;

export interface StoredReplica {
  /** DurabilityLevel. */
  readonly level: number;
  readonly storage: ReplicaStorage;
  /** undefined: the directory is new, or was repaired. */
  readonly state: StoredState | undefined;
  /** The state that the log goes on from; undefined: from nothing. */
  readonly snapshot: Snapshot | undefined;
  readonly entries: Recovered["entries"];
  /** Nothing that the replica told anybody is missing: it goes on as if it had been slow. Else its memory was lost, whatever is left of it. */
  readonly whole: boolean;
}

export interface StoredReplicaOptions {
  level: number;
  cluster: Uint8Array;
  /** Index of the replica; undefined: whatever the directory says. */
  id: number | undefined;
  /** A damaged directory is emptied, and the replica recovers from its peers. */
  repair?: boolean;
  /** Size of a log file; default: what storage has. */
  segmentBytes?: number;
}

export function openStoredReplica(
  disk: Disk,
  options: StoredReplicaOptions,
  done: (error: Error | undefined, stored: StoredReplica) => void,
): void {
  runSteps(opening(disk, options), done);
}

/** Opens the directory. Rejects with STORAGE_*. */
export function openDataDirectory(binding: NativeBinding, directory: string, options: StoredReplicaOptions): Promise<StoredReplica> {
  return new Promise((resolve, reject) => {
    const disk = new FileDisk(directory, binding.lockFile);
    openStoredReplica(disk, options, (error, stored) => (error === undefined ? resolve(stored) : reject(error)));
  });
}

function* opening(disk: Disk, { level, cluster, id, repair, segmentBytes }: StoredReplicaOptions): Steps<StoredReplica> {
  // The index of a replica changes with the members: the state record knows the present one.
  const open = { identity: { cluster, replica: 0 }, repair: repair === true, ...(segmentBytes === undefined ? {} : { segmentBytes }) };
  const { storage, recovered } = yield* step<OpenedStorage>((done) => ReplicaStorage.openWith(disk, open, done));
  try {
    const state = recovered.state && decodeState(recovered.state);
    if (recovered.state && !state) throw damaged("its state record can't be read");
    if (state && id !== undefined && state.id !== id) {
      throw new SquallError(
        "STORAGE_FOREIGN",
        `The data directory is that of replica ${state.id}, and this is replica ${id}: give each replica a directory of its own.`,
      );
    }
    let snapshot: Snapshot | undefined;
    if (recovered.snapshot) {
      const chunks: Uint8Array[] = [];
      yield* step<void>((done) => storage.readSnapshot((bytes) => chunks.push(bytes.slice()), done));
      snapshot = decodeSnapshot(recovered.snapshot.seqno, Buffer.concat(chunks));
      if (!snapshot) throw damaged(`its snapshot at ${recovered.snapshot.seqno} is not what was written`);
    }
    if (!state && (snapshot || recovered.entries.end >= recovered.entries.first)) throw damaged("it has a log and no state record");
    const whole = state?.takesPart === true && (state.lasts || recovered.clean);
    if (whole && level !== DurabilityLevel.Sync) {
      // From now on others may be told more than is here.
      storage.setState(encodeState({ ...state, lasts: false, takesPart: false }));
      yield* step<void>((done) => storage.flush((error) => done(error, undefined)));
    }
    return { level, storage, state, snapshot, entries: recovered.entries, whole };
  } catch (error) {
    yield* step<void>((done) => storage.close(() => done(undefined)));
    throw error;
  }
}

export function damaged(what: string): SquallError {
  return new SquallError(
    "STORAGE_CORRUPT",
    `The data directory is damaged: ${what}. Start the replica once with --repair (option repair): it rejoins from its peers.`,
  );
}

/** One row of the log, as exportRows() gave it. */
export interface StoredRow {
  hash: Uint8Array;
  record: Uint8Array;
}

/** The rows from `first` on up to `last`: views. */
export function* storedRows({ chunks }: Recovered["entries"], first: number, last: number): Generator<StoredRow> {
  for (const chunk of chunks) {
    if (chunk.seqno > last || chunk.seqno + chunk.count <= first) continue;
    let seqno = chunk.seqno;
    for (const row of rowsOf(chunk)) {
      if (seqno >= first && seqno <= last) yield { hash: row.subarray(0, HashBytes), record: row.subarray(HashBytes) };
      seqno++;
    }
  }
}
