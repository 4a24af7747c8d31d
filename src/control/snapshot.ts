/** The committed state at one seqno, whole: what a replica restores instead of executing the log up to there. */
import { HashBytes } from "./messages.js";

/** Summary hash 32, cumulative bytes 8, logical time 8. */
export const PositionBytes = 48;

export interface Snapshot {
  readonly seqno: number;
  /** The log's position at `seqno`, PositionBytes long. */
  readonly position: Uint8Array;
  /** Empty while another thread has it (DataPlane.verify). */
  machine: Uint8Array;
  /** The session table. Its first 32 bytes are a digest equal at all replicas; the rest may differ in replies that one of them lost. */
  readonly sessions: Uint8Array;
  /** SHA-256 over seqno, position, the session table's digest and the SHA-256 of the machine's bytes: equal states, equal digests. */
  readonly digest: Uint8Array;
}

/** The summary hash of the entry at the snapshot's seqno. */
export function snapshotHash(snapshot: Snapshot): Uint8Array {
  return snapshot.position.subarray(0, HashBytes);
}
