/**
 * Hashing that would hold the loop up goes to worker threads; what is small is hashed in place, since a hand-over costs
 * more than it saves there.
 */
import { createHash } from "node:crypto";
import { fileURLToPath } from "node:url";
import { Piscina } from "piscina";
import type { HashRun } from "../control/data-plane.js";
import type { NativeBinding } from "./binding.js";
import { HashStream } from "./hash-stream.js";

/** From this size on a hash is computed on another thread. */
export const OffThreadBytes = 256 * 1024;
const Threads = 2;
const IdleMs = 5_000;
/** The loops of replicas and clients go first; where they leave a core idle, that makes no difference. (Linux: elsewhere all are equal.) */
const Niceness = 5;
// A copy of so much takes a fraction of a millisecond.
const PieceBytes = 1 << 20;

let pool: Piscina | undefined;

/** One pool for all replicas of the thread, made when it is first needed; idle threads end and hold no process up. */
function hashPool(): Piscina {
  pool ??= new Piscina({
    filename: fileURLToPath(new URL("./hash-jobs.js", import.meta.url)),
    minThreads: 0,
    maxThreads: Threads,
    idleTimeout: IdleMs,
    niceIncrement: Niceness,
  });
  return pool;
}

/** SHA-256 of what is added to it, on another thread; with `keep` all of it comes back in one piece. */
export function hashStream(keep: boolean): HashStream {
  return new HashStream((job, transferList) => hashPool().run(job, { name: "sha256Stream", transferList }), keep);
}

/** SHA-256. `bytes` must not change until the promise is settled. */
export async function hashBytes(bytes: Uint8Array): Promise<Uint8Array> {
  if (bytes.length < OffThreadBytes) return createHash("sha256").update(bytes).digest();
  const stream = hashStream(false);
  for (let offset = 0; offset < bytes.length; offset += PieceBytes) {
    // Other work goes on in between.
    if (offset > 0) await new Promise((resolve) => setImmediate(resolve));
    stream.add(new Uint8Array(bytes.subarray(offset, offset + PieceBytes)));
  }
  return (await stream.end()).hash;
}

/**
 * Summary hashes of a received suffix: the hash after each record, chained on `previous` (32 bytes; zeros at the log's
 * start). Long suffixes are hashed on another thread.
 */
export async function verifySuffix(binding: NativeBinding, previous: Uint8Array, records: readonly Uint8Array[]): Promise<Uint8Array[]> {
  const lengths = records.map((record) => record.length);
  const total = lengths.reduce((sum, length) => sum + length, 0);
  if (total < OffThreadBytes) {
    let last = previous;
    return records.map((record) => {
      last = binding.summaryHash(last, record);
      return last;
    });
  }
  const job = { previous, records: Buffer.concat(records), lengths, bindingPath: binding.path };
  const hashes = (await hashPool().run(job, { name: "hashChain" })) as Uint8Array;
  return records.map((_, index) => hashes.subarray(index * 32, index * 32 + 32));
}

/** Sets `chained` of every record, long runs on other threads. */
export async function chainRuns(binding: NativeBinding, runs: readonly HashRun[]): Promise<void> {
  for (const { previous, records } of runs) {
    const hashes = await verifySuffix(
      binding,
      previous,
      records.map(({ record }) => record),
    );
    records.forEach((fetched, index) => {
      fetched.chained = { previous: hashes[index - 1] ?? previous, hash: hashes[index] as Uint8Array };
    });
  }
}

/** Threads that hash or wait for something to hash. */
export function hashThreads(): number {
  return pool?.threads.length ?? 0;
}

/** Ends the hashing threads; a later hash starts them again. */
export async function closeHashPool(): Promise<void> {
  const closing = pool;
  pool = undefined;
  await closing?.destroy();
}

/** State and session table in one digest, so that replicas with equal digests answer alike. */
export function combineDigests(state: Uint8Array, sessions: Uint8Array): Buffer {
  return createHash("sha256").update(state).update(sessions).digest();
}

export function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("hex");
}
