/** Opens a replica's directory: makes a new one, reads what is there, or gives up what is damaged when that is asked for. */
import { SquallError } from "../../errors.js";
import { alignedBytes, BlockKind, HeaderBytes, KeyBytes, sealBlock } from "./block.js";
import type { Disk, DiskFile } from "./disk.js";
import { finishIdentity, type Identity, IdentityName, readIdentity, UnfinishedName, writeIdentity } from "./identity.js";
import type { Recovered } from "./recovered.js";
import { recoverLog } from "./recovery.js";
import { type CurrentSegment, createSegment, type Segment, segmentName, segmentNumbers } from "./segments.js";
import { isSnapshotName, readSnapshotFile, type SnapshotFile, snapshotName, snapshotNumber } from "./snapshots.js";
import { type Steps, step } from "./steps.js";
import { corrupt } from "./storage-errors.js";

/** Made when a write failed: what the system's cache shows of the files since then need not be on the disk. */
export const FailedName = "failed";

export interface OpeningOptions {
  readonly cluster: string;
  readonly replica: number;
  readonly segmentBytes: number;
  readonly repair: boolean;
}

/** What ReplicaStorage goes on from. */
export interface OpenedDirectory {
  readonly key: Uint8Array;
  readonly segments: Segment[];
  readonly current: CurrentSegment;
  /** Of the last commit. */
  readonly sequence: number;
  readonly inForce: SnapshotFile | undefined;
  readonly nextSnapshot: number;
  readonly recovered: Recovered;
}

export function* openDirectory(disk: Disk, options: OpeningOptions): Steps<OpenedDirectory> {
  const names = yield* step<string[]>((done) => disk.list(done));
  const isData = (name: string) => segmentNumbers([name]).length > 0 || isSnapshotName(name);
  if (!names.includes(IdentityName) && (names.includes(UnfinishedName) || !names.some(isData)))
    return yield* createDirectory(disk, options, names, 0);
  let repairs = 0;
  try {
    if (!names.includes(IdentityName)) throw corrupt(`${IdentityName} is missing`);
    const identity = yield* readIdentity(disk);
    refuseForeign(identity, options);
    repairs = identity.repairs;
    if (names.includes(FailedName)) throw corrupt("an earlier write to it failed");
    return yield* recoverDirectory(disk, identity, names);
  } catch (error) {
    if (!options.repair || !isRepairable(error as Error)) throw error;
    return yield* createDirectory(disk, options, names, repairs + 1);
  }
}

function isRepairable(error: Error): boolean {
  return error instanceof SquallError ? error.code === "STORAGE_CORRUPT" : (error as NodeJS.ErrnoException).code === "EIO";
}

function refuseForeign(identity: Identity, { cluster, replica }: OpeningOptions): void {
  if (identity.cluster === cluster && identity.replica === replica) return;
  throw new SquallError(
    "STORAGE_FOREIGN",
    `the data directory is that of replica ${identity.replica} of cluster ${identity.cluster}, not of replica ${replica} of cluster ${cluster}: give each replica its own`,
  );
}

/** The first commit is on disk before the directory counts as one: from then on there is always a good commit. */
function* createDirectory(disk: Disk, options: OpeningOptions, names: readonly string[], repairs: number): Steps<OpenedDirectory> {
  const old = segmentNumbers(names);
  for (const name of names.filter((name) => isSnapshotName(name))) yield* step((done) => disk.remove(name, done));
  for (const number of old) yield* step((done) => disk.remove(segmentName(number), done));
  // Gone for good before what says that they are unfinished, or the old identity, is touched.
  yield* step((done) => disk.syncDirectory(done));
  const key = disk.random(KeyBytes);
  yield* writeIdentity(disk, { cluster: options.cluster, replica: options.replica, key, repairs });
  const number = (old.at(-1) ?? 0) + 1;
  const current = yield* createSegment(disk, number, options.segmentBytes);
  const position = { file: number, sequence: 1, endBefore: 0, endAfter: 0, snapshotSeqno: 0, snapshotFile: 0, oldestSegment: number };
  const first = sealBlock(Buffer.alloc(alignedBytes(0)), { kind: BlockKind.Commit, ...position, contentBytes: 0 }, key);
  yield* step((done) => current.file.writeDurable(0, first, done));
  current.offset = first.length;
  if (names.includes(FailedName)) yield* step((done) => disk.remove(FailedName, done));
  yield* finishIdentity(disk);
  const entries = { first: 1, end: 0, chunks: [] };
  return {
    key,
    segments: [{ number, maxSeqno: 0 }],
    current,
    sequence: 1,
    inForce: undefined,
    nextSnapshot: 1,
    recovered: { state: undefined, snapshot: undefined, entries, clean: false, tornBytes: 0, repairs },
  };
}

function* recoverDirectory(disk: Disk, identity: Identity, names: readonly string[]): Steps<OpenedDirectory> {
  const { key, repairs } = identity;
  const { live, last, tail, unneeded } = yield* recoverLog(disk, names, key);
  const inForce = last.snapshotFile === 0 ? undefined : yield* verifySnapshot(disk, names, last.snapshotFile, last.snapshotSeqno, key);
  const entries = { first: last.snapshotSeqno + 1, end: live.end, chunks: live.above(last.snapshotSeqno) };
  const current = yield* openTail(disk, tail);
  // Only now, when everything is known to be good.
  const snapshots = names.filter((name) => isSnapshotName(name));
  for (const number of unneeded) yield* step((done) => disk.remove(segmentName(number), done));
  for (const name of snapshots.filter((name) => inForce === undefined || name !== snapshotName(inForce.number)))
    yield* step((done) => disk.remove(name, done));
  if (names.includes(UnfinishedName)) yield* step((done) => disk.remove(UnfinishedName, done));
  return {
    key,
    segments: live.segments,
    current,
    sequence: last.sequence,
    inForce,
    nextSnapshot: Math.max(0, ...snapshots.map(snapshotNumber)) + 1,
    recovered: {
      state: live.state,
      snapshot: inForce && { seqno: inForce.seqno, bytes: inForce.bytes },
      entries,
      clean: last.kind === BlockKind.CleanEnd,
      tornBytes: tail.tornBytes,
      repairs,
    },
  };
}

function* verifySnapshot(disk: Disk, names: readonly string[], number: number, seqno: number, key: Uint8Array): Steps<SnapshotFile> {
  if (!names.includes(snapshotName(number))) throw corrupt(`${snapshotName(number)} is missing`);
  return yield* readSnapshotFile(disk, { number, seqno, key }, () => undefined);
}

/**
 * The segment that goes on. What was read of it need not be on disk if only the process died: it is when this returns. The head of a torn
 * commit goes, so that no later write can complete it.
 */
function* openTail(disk: Disk, tail: { number: number; end: number; fileBytes: number; tornBytes: number }): Steps<CurrentSegment> {
  const file = yield* step<DiskFile>((done) => disk.open(segmentName(tail.number), "open", done));
  if (tail.tornBytes > 0) yield* step((done) => file.write(tail.end, Buffer.alloc(HeaderBytes), done));
  yield* step((done) => file.sync(done));
  return { file, offset: tail.end, capacityBytes: tail.fileBytes };
}
