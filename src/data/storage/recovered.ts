/** What opening a replica's storage found. */

/** Rows as append() takes them: each a length (u32, little endian) and that many bytes, back to back. */
export interface RowChunk {
  /** Of the first row. */
  readonly seqno: number;
  readonly count: number;
  readonly rows: Uint8Array;
}

export interface Recovered {
  /** The state record last set; undefined: none was, the directory is new or was repaired. */
  readonly state: Uint8Array | undefined;
  /** The snapshot in force: ReplicaStorage.readSnapshot reads it. */
  readonly snapshot: { readonly seqno: number; readonly bytes: number } | undefined;
  /** Rows above the snapshot, consecutive: `first` is the seqno of the first; first = end + 1 if there is none. */
  readonly entries: { readonly first: number; readonly end: number; readonly chunks: readonly RowChunk[] };
  /** The last process closed it in order: nothing that it acknowledged can be missing. */
  readonly clean: boolean;
  /** Bytes of a last group commit that was not completed: never acknowledged. 0: none. */
  readonly tornBytes: number;
  /** How often this directory was repaired: the replica's memory was lost then. With `state` undefined it has been blank since. */
  readonly repairs: number;
}

/** The rows of a chunk, one by one: views, not copies. */
export function* rowsOf(chunk: RowChunk): Generator<Uint8Array> {
  const view = new DataView(chunk.rows.buffer, chunk.rows.byteOffset, chunk.rows.byteLength);
  for (let at = 0; at < chunk.rows.length; ) {
    const bytes = view.getUint32(at, true);
    yield chunk.rows.subarray(at + 4, at + 4 + bytes);
    at += 4 + bytes;
  }
}
