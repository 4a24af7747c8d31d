/** What one replica's way through the configurations needs of the replica. */
import type { ControlPlaneConfig } from "../control/context.js";
import type { Configuration } from "../control/membership.js";
import type { Snapshot } from "../control/snapshot.js";
import type { FetchSnapshotMessage } from "../control/snapshot-messages.js";
import type { NativeAddress, NativeReplicaEngine } from "./binding.js";
import type { ReplicaDataPlane } from "./replica-data-plane.js";

export interface EpochsHost {
  /** Has the group reconcile, if it is in a view. */
  reconcile(nowUs: number): void;
  /** This replica is index `replica` of another configuration from now on; `joins`: NORMAL only once it has taken over the state. */
  entered(configuration: Configuration, replica: number, joins: boolean): void;
  /** Starts to fetch the state at `seqno` or later from the others (0: none is needed); takenOver() follows. */
  takeOver(seqno: number): void;
  /** The same with a state that is here: what it holds was committed in `view` or before. */
  takeOverFrom(nowUs: number, snapshot: Snapshot, view: number): void;
  /** Of the control plane of replica `replica` in that configuration. */
  controlConfig(configuration: Configuration, replica: number): ControlPlaneConfig;
  /** The body of a SNAPSHOT-CHUNK for member `from` of the present epoch; undefined: there is none. */
  chunkFor(nowUs: number, from: number, message: FetchSnapshotMessage): Uint8Array | undefined;
  /** Others that this replica hears in its view of the present epoch. */
  silent(): readonly number[];
  /** Whether a majority told this replica, which recovers, that it has its memory. */
  answered(): boolean;
  retired(): void;
}

export interface EpochsOptions {
  engine: NativeReplicaEngine;
  data: ReplicaDataPlane;
  id: number;
  replicas: NativeAddress[];
  bootId: string;
  /** Of the views an epoch begins with. */
  firstMode: number;
  /** Whether the machine's state can be handed to those who join. */
  snapshots: boolean;
  /** Of an operation. */
  largestBytes: number;
  /** Bit mask of Guard; test builds only. */
  guardsOff: number;
  host: EpochsHost;
}
