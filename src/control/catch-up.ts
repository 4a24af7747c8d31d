/**
 * A backup of a LEADER view that is so far behind that its leader has forgotten what it lacks: it takes over a snapshot, and PREPAREs go on
 * from there. (In a SPECULATIVE view a reconciliation brings it up to date.)
 */
import { Mode, ReplicaStatus } from "../data/binding.js";
import type { Context } from "./context.js";
import type { HeartbeatMessage } from "./heartbeat-message.js";
import type { Snapshot } from "./snapshot.js";
import type { SnapshotFetch } from "./snapshot-fetch.js";

export interface CatchUpHost {
  restored(nowUs: number, snapshot: Snapshot): void;
}

export class CatchUp {
  private readonly context: Context;
  private readonly host: CatchUpHost;
  private readonly snapshots: SnapshotFetch;

  constructor(context: Context, host: CatchUpHost, snapshots: SnapshotFetch) {
    this.context = context;
    this.host = host;
    this.snapshots = snapshots;
  }

  /** Of the leader of the view this replica is NORMAL in. */
  onLeaderHeartbeat(nowUs: number, leader: number, message: HeartbeatMessage): void {
    const { data } = this.context;
    if (data.mode !== Mode.Leader || message.base <= data.logEnd || this.snapshots.running) return;
    const { view } = data;
    this.snapshots.start(nowUs, [leader], message.base, (doneUs, snapshot) => {
      const here = data.status === ReplicaStatus.Normal && data.mode === Mode.Leader && data.view === view;
      if (here && snapshot.seqno >= data.logEnd && data.restore(snapshot)) this.host.restored(doneUs, snapshot);
      else this.snapshots.discard();
    });
  }
}
