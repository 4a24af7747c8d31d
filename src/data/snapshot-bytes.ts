/** What Machine.snapshot returns: the state as bytes, or in chunks. */
import { types } from "node:util";

export type SnapshotBytes = Uint8Array | Iterable<Uint8Array>;

/** The whole of it. Throws TypeError for anything else than bytes or chunks of bytes. */
export function wholeSnapshot(snapshot: SnapshotBytes): Uint8Array {
  const pull = new SnapshotPull(snapshot);
  pull.take(Number.POSITIVE_INFINITY);
  return pull.bytes();
}

/** Takes chunks as they are asked for. */
export class SnapshotPull {
  readonly #chunks: Uint8Array<ArrayBuffer>[] = [];
  /** Handed over as it is. */
  readonly whole: Uint8Array | undefined;
  #rest: Iterator<Uint8Array> | undefined;

  constructor(snapshot: SnapshotBytes) {
    if (types.isUint8Array(snapshot)) this.whole = snapshot;
    else if (typeof snapshot === "object" && snapshot !== null && Symbol.iterator in snapshot) {
      this.#rest = snapshot[Symbol.iterator]();
      // A generator has not begun yet: what it reads before its first chunk is to be of now.
      this.take(1);
    } else throw new TypeError("snapshot must return a Uint8Array or an iterable of them");
  }

  /** Pulls about `bytes` more. True once there is no more. Throws what the machine throws. */
  take(bytes: number): boolean {
    for (let taken = 0; this.#rest !== undefined && taken < bytes; ) {
      const next = this.#rest.next();
      if (next.done === true) {
        this.#rest = undefined;
        break;
      }
      if (!types.isUint8Array(next.value)) throw new TypeError("every chunk of a snapshot must be a Uint8Array");
      // The next chunk may be written to the same place. (Not slice(): a Buffer's does not copy.)
      this.#chunks.push(new Uint8Array(next.value));
      taken += Math.max(1, next.value.length);
    }
    return this.#rest === undefined;
  }

  /** The chunks taken since the last call: copies, whose buffers are the caller's. None where the machine gave its state in one piece. */
  drain(): Uint8Array<ArrayBuffer>[] {
    return this.#chunks.splice(0);
  }

  /** What was taken and not drained. */
  bytes(): Uint8Array {
    if (this.whole) return this.whole;
    return this.#chunks.length === 1 ? (this.#chunks[0] as Uint8Array) : Buffer.concat(this.#chunks);
  }

  /** Bytes that bytes() would return. */
  get length(): number {
    return this.whole?.length ?? this.#chunks.reduce((sum, chunk) => sum + chunk.length, 0);
  }
}
