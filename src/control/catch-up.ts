/**
 * A backup of a LEADER view that is so far behind that its leader has forgotten what it lacks: it takes over a snapshot, and PREPAREs go on
 * from there. (In a SPECULATIVE or FAST view a reconciliation brings it up to date.)
 */
import { Mode, ReplicaStatus } from "../data/binding.js";
import type { Context } from "./context.js";
import type { HeartbeatMessage } from "./heartbeat-message.js";
import type { Snapshot } from "./snapshot.js";
import type { SnapshotFetch } from "./snapshot-fetch.js";

// The commit of what is here may be under way.
const HeartbeatsBeforeReconciling = 3;

export interface CatchUpHost {
  restored(nowUs: number, snapshot: Snapshot): void;
  reconcile(nowUs: number, reason: string): void;
}

export class CatchUp {
  private readonly context: Context;
  private readonly host: CatchUpHost;
  private readonly snapshots: SnapshotFetch;
  /** HEARTBEATs in a row of a FAST view whose leader has forgotten what comes next here. */
  private lacking = 0;

  constructor(context: Context, host: CatchUpHost, snapshots: SnapshotFetch) {
    this.context = context;
    this.host = host;
    this.snapshots = snapshots;
  }

  /** Of the leader of the view this replica is NORMAL in. */
  onLeaderHeartbeat(nowUs: number, leader: number, message: HeartbeatMessage): void {
    const { data } = this.context;
    if (data.mode === Mode.Fast) {
      // Its own order of requests may reach further than a snapshot would, and what it voted for stays until the view ends.
      this.lacking = message.base > data.committed ? this.lacking + 1 : 0;
      if (this.lacking < HeartbeatsBeforeReconciling) return;
      this.lacking = 0;
      this.host.reconcile(nowUs, "the leader has forgotten entries that are not committed here");
      return;
    }
    if (data.mode !== Mode.Leader || message.base <= data.logEnd || this.snapshots.running) return;
    const { view } = data;
    this.snapshots.start(nowUs, [leader], message.base, (doneUs, snapshot) => {
      // What was committed in a later view need not be of this view's log.
      const here = data.status === ReplicaStatus.Normal && data.mode === Mode.Leader && data.view === view && this.snapshots.view <= view;
      if (here && snapshot.seqno >= data.logEnd && data.restore(snapshot)) this.host.restored(doneUs, snapshot);
      else this.snapshots.discard();
    });
  }
}
