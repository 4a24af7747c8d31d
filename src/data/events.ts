/** What happens at a replica, for operators: published on the diagnostics channel "squall:replica" and to listeners. */
import type { ErrorCode } from "../errors.js";

export type ReplicaEvent =
  /** The replica took part in a bootstrap, or learned of it: NORMAL in view 0. */
  | { type: "bootstrapped"; replica: number; lifeId: string }
  /** A log was installed: `rolledBack` operations were undone, `installed` entries taken over. */
  | { type: "installed"; replica: number; view: number; rolledBack: number; installed: number }
  /** An upcall failed. Execution stands still until all replicas are found to have failed alike. */
  | { type: "machine-error"; replica: number; seqno: number; upcall: string; code: ErrorCode; message: string; error: unknown }
  /** All replicas failed alike at `seqno`: execution goes on. */
  | { type: "resumed"; replica: number; seqno: number }
  /** A broken invariant: the replica has stopped for good. */
  | { type: "invariant-broken"; replica: number; message: string }
  | { type: "closed"; replica: number };

export type ReplicaEventListener = (event: ReplicaEvent) => void;
