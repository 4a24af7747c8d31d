/** What a replica host is made of. */
import type { Cluster } from "../config-types.js";
import type { Machine } from "../machine.js";
import type { WaitStrategy } from "../wait.js";
import type { NativeBinding, NativeLoopHub, NativeUdpFabric } from "./binding.js";
import type { StoredReplica } from "./durability/stored-replica.js";
import type { Endpoints } from "./endpoints.js";
import type { ReplicaEvent } from "./events.js";

export interface ReplicaHostOptions {
  binding: NativeBinding;
  fabric: NativeUdpFabric | NativeLoopHub;
  /** Under the loop: the port made for this replica. */
  loopPort?: number;
  cluster: Cluster;
  id: number;
  machine: Machine;
  /** Under the loop, or to bind elsewhere than the cluster says. */
  endpoints?: Endpoints;
  /** Test builds only. */
  guardsOff?: number;
  debug?: boolean;
  /** Over sockets only; default "block". */
  wait?: WaitStrategy;
  /** StatusWord.Count words over a SharedArrayBuffer; made here unless given. */
  words?: Float64Array;
  /** 16 bytes, fresh for each start of the process. */
  bootId?: Uint8Array;
  /** Operations of one batch upcall, and room for their bytes: what one replica holds beyond its log. */
  batch?: { rows: number; arenaBytes: number };
  /** The simulator has no other threads: snapshots are hashed where they are. */
  hashInPlace?: boolean;
  /** Its data directory, opened; undefined: durability is "memory". begin() follows then. */
  stored?: StoredReplica;
  /** Called synchronously; must not throw. */
  onEvent?: (event: ReplicaEvent) => void;
}
