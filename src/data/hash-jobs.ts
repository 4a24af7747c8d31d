/** What the hashing threads run. */
import { createHash } from "node:crypto";
import type { MessagePort } from "node:worker_threads";
import { loadBinding } from "./load.js";

export interface StreamJob {
  /** Brings the pieces in order, then null; takes the StreamEnd. */
  port: MessagePort;
  /** Whether the pieces are to be put together. */
  keep: boolean;
}

export interface StreamEnd {
  hash: Uint8Array;
  /** All pieces in one; empty unless they were to be kept. */
  bytes: Uint8Array;
}

/** SHA-256 of pieces that come one by one. */
export function sha256Stream({ port, keep }: StreamJob): Promise<void> {
  const hash = createHash("sha256");
  const pieces: Uint8Array<ArrayBuffer>[] = [];
  let length = 0;
  return new Promise((resolve) => {
    port.on("close", resolve);
    port.on("message", (piece: Uint8Array<ArrayBuffer> | null) => {
      if (piece !== null) {
        hash.update(piece);
        length += piece.length;
        if (keep) pieces.push(piece);
        return;
      }
      const bytes = joined(pieces, keep ? length : 0);
      port.postMessage({ hash: new Uint8Array(hash.digest()), bytes } satisfies StreamEnd, [bytes.buffer]);
    });
  });
}

/** A single piece is given back as it is. */
function joined(pieces: readonly Uint8Array<ArrayBuffer>[], length: number): Uint8Array<ArrayBuffer> {
  if (pieces.length === 1) return pieces[0] as Uint8Array<ArrayBuffer>;
  const bytes = new Uint8Array(length);
  let offset = 0;
  for (const one of pieces) {
    bytes.set(one, offset);
    offset += one.length;
  }
  return bytes;
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
