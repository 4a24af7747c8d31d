/** How the leader of a merge lines up another member's log with its own, or with a snapshot where its own does not reach. */
import type { Context } from "./context.js";
import { MaxSuffixEntries } from "./context.js";
import { hashKey, type RecordPool } from "./log-rows.js";
import type { ReconcileMessage } from "./messages.js";
import { RemoteLog } from "./remote-log.js";
import { type Snapshot, snapshotHash } from "./snapshot.js";

export type MemberLog =
  | { log: RemoteLog }
  /** The member has forgotten entries that are unknown here: a snapshot at `behind` or above is needed first. */
  | { behind: number }
  /** Both committed an entry there, and not the same. */
  | { conflict: number }
  | { malformed: true };

export function lineUp(context: Context, pool: RecordPool, message: ReconcileMessage, snapshot: Snapshot | undefined): MemberLog {
  const { data } = context;
  const { base, committed, committedHash, end } = message;
  const at = (low: number, anchor: Uint8Array | undefined): MemberLog => {
    if (end - low > MaxSuffixEntries) return { malformed: true };
    return { log: new RemoteLog(data, pool, low, Math.max(low, end), anchor) };
  };
  if (snapshot) {
    const { seqno } = snapshot;
    if (committed === seqno && hashKey(committedHash) !== hashKey(snapshotHash(snapshot))) return { conflict: seqno };
    if (committed >= seqno) return base <= seqno ? at(seqno, snapshotHash(snapshot)) : { behind: base };
    return at(seqno, undefined);
  }
  // What is forgotten here is settled; of a log that does not reach so far nothing is left to merge.
  if (committed < data.logBase) return at(data.logBase, undefined);
  const equal = committed <= data.logEnd && hashKey(data.hashAt(committed)) === hashKey(committedHash);
  if (equal) return at(committed, committedHash);
  if (committed <= data.committed) return { conflict: committed };
  return base <= data.committed ? at(data.committed, data.hashAt(data.committed)) : { behind: base };
}
