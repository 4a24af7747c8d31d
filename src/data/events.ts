/** What happens at a replica, for operators: published on the diagnostics channel "squall:replica" and to listeners. */
import type { RecoveryCode } from "../control/recovery.js";
import type { ErrorCode } from "../errors.js";
import type { ModeName } from "../status.js";

export type ReplicaEvent =
  /** The replica took part in a bootstrap, or learned of it: NORMAL in view 0. */
  | { type: "bootstrapped"; replica: number; lifeId: string }
  /** The replica left its view for `view`, led by `leader`. `reason` is "" when others began it. */
  | { type: "view-changed"; replica: number; view: number; leader: number; reason: string }
  /**
   * A reconciliation ended here: the log of `view` was installed, `rolledBack` operations were undone and `installed` entries taken
   * over, `durationMs` after the replica left NORMAL.
   */
  | { type: "installed"; replica: number; view: number; mode: ModeName; rolledBack: number; installed: number; durationMs: number }
  /** The view that was installed orders operations in another way than the last one. */
  | { type: "mode-switched"; replica: number; view: number; mode: ModeName }
  /** `peer` has not been heard for the detection time; or is heard again. */
  | { type: "peer-silent"; replica: number; peer: number }
  | { type: "peer-heard"; replica: number; peer: number }
  /** A replica that lost its memory is on its way back: `reason` says what it waits for, in words; `code` is for programs. */
  | { type: "recovery-progress"; replica: number; code: RecoveryCode; reason: string }
  /** It is back: NORMAL in `view`, as its `incarnation`, `durationMs` after its start. */
  | { type: "recovery-finished"; replica: number; view: number; incarnation: number; durationMs: number }
  /**
   * It began with its data directory: the log up to `seqno`, and `view`. `memory` "kept": it goes on as if it had been slow; "lost": others may
   * have been told more, so that it recovers, with this as a start.
   */
  | { type: "restarted"; replica: number; view: number; seqno: number; memory: "kept" | "lost" }
  /** A write to its data directory failed. `fatal`: under "sync" the replica acknowledges nothing any more. */
  | { type: "storage-failed"; replica: number; fatal: boolean; message: string }
  /** State and sessions up to `seqno` are kept as a snapshot; the log below the one before it may be dropped. */
  | { type: "checkpoint-taken"; replica: number; seqno: number }
  /** The machine's snapshot threw at `seqno`, or returned no bytes: the log can't be truncated there. */
  | { type: "checkpoint-refused"; replica: number; seqno: number; error: unknown }
  /** A snapshot from another replica took the place of the log up to `seqno`. */
  | { type: "restored"; replica: number; seqno: number; bytes: number }
  /** The state at checkpoint `seqno` is not that of the replicas `peers`; which of them are right, no majority can tell yet. */
  | { type: "state-differs"; replica: number; seqno: number; peers: readonly number[] }
  /** Another set of replicas has taken over, from `epoch` on; `members` as "host:port". */
  | { type: "membership-changed"; replica: number; epoch: number; members: string[] }
  /** This replica's state at checkpoint `seqno` is not that of the others: its machine is not deterministic. It stops. */
  | { type: "diverged"; replica: number; seqno: number; message: string }
  /** An upcall failed. Execution stands still until all replicas are found to have failed alike. */
  | { type: "machine-error"; replica: number; seqno: number; upcall: string; code: ErrorCode; message: string; error: unknown }
  /** All replicas failed alike at `seqno`: execution goes on. */
  | { type: "resumed"; replica: number; seqno: number }
  /** A broken invariant: the replica has stopped for good. */
  | { type: "invariant-broken"; replica: number; message: string }
  /** Another configuration is in force here: this replica is index `replica` of `members` in it. `joins`: it fetches the state first. */
  | { type: "epoch-entered"; replica: number; epoch: number; members: readonly string[]; joins: boolean }
  /** This replica is no member any more, and enough others have the state: it closes by itself. */
  | { type: "retired"; replica: number; epoch: number }
  | { type: "closed"; replica: number };

export type ReplicaEventListener = (event: ReplicaEvent) => void;
