/** What the hashing threads run. */
import { createHash } from "node:crypto";
import { loadBinding } from "./load.js";

export function sha256(bytes: Uint8Array): Uint8Array {
  return createHash("sha256").update(bytes).digest();
}

/** The summary hash after each record, chained on `previous`; `lengths` cuts `records` into them. 32 bytes a record. */
export function hashChain(job: { previous: Uint8Array; records: Uint8Array; lengths: number[]; bindingPath: string }): Uint8Array {
  const binding = loadBinding(job.bindingPath);
  const hashes = new Uint8Array(job.lengths.length * 32);
  let previous = job.previous;
  let offset = 0;
  job.lengths.forEach((length, index) => {
    previous = binding.summaryHash(previous, job.records.subarray(offset, offset + length));
    hashes.set(previous, index * 32);
    offset += length;
  });
  return hashes;
}
