export const lookAgain = Symbol("look names up again");

/** What a cluster file says, resolved: hosts looked up, defaults filled in, keys read. Made by config.ts, read by everybody else. */
export interface Cluster {
  /** Looks the names of the cluster file up again; absent where it has none. (A symbol's property stays here when a cluster goes to a Worker.) */
  [lookAgain]?: () => Promise<Pick<Cluster, "replicas" | "network">>;
  /** Path of the file, when there is one. */
  file: string | undefined;
  /** The cluster id (16 hex digits in the file): every frame carries it. */
  group: Uint8Array;
  replicas: { ip: string; port: number }[];
  network: ResolvedNetwork;
  /** 32 bytes; held by replicas and operators. */
  secret: Uint8Array | undefined;
  /** A client's own key (`squall key issue`), for holders of no secret. */
  clientKey: { id: Uint8Array; key: Uint8Array } | undefined;
  sealed: boolean;
  datagramBytes: number;
  /** Messages of one turn of the loop to one receiver share datagrams. */
  packing: boolean;
  protocol: ClusterProtocol;
  /** Of the protocol "speculative"; without meaning in the others. */
  mode: ClusterMode;
  durability: Durability;
  limits: ClusterLimits;
  timing: ClusterTiming;
}

/** How operations are ordered and committed: src/config/protocols.ts. */
export type ClusterProtocol = "speculative" | "paxos" | "paxos-batching" | "fast-paxos" | "unreplicated";

/** How views order operations; "adaptive" begins speculatively and follows the network. */
export type ClusterMode = "adaptive" | "speculative" | "leader";

/**
 * What of a replica outlasts its process: nothing; what the disk happened to have; or whatever anybody was told, because nobody is told before it is on
 * disk (docs/durability.md).
 */
export type Durability = "memory" | "async" | "sync";

export interface ResolvedMulticast {
  group: string;
  port: number;
  interface: string | undefined;
}

export type ResolvedNetwork =
  | { design: "unicast" }
  | ({ design: "multicast" } & ResolvedMulticast)
  /** With a multicast group the relay sends to it instead of to each replica. */
  | { design: "serialized"; relay: { ip: string; port: number }; multicast?: ResolvedMulticast };

/** Each limit bounds memory or work; docs/limits.md derives them. */
export interface ClusterLimits {
  operationBytes: number; // default 1 MiB
  window: number; // outstanding requests of a session: default 64, up to 1024
  sessions: number; // default 4096
  logEntries: number; // default 512 Ki
  logBytes: number; // default 256 MiB (virtual until touched)
  checkpointEvery: number; // entries between two checkpoints: default logEntries / 8, up to 64 Ki
  prepareBatch: number; // operations of one PREPARE: default 64; the protocol "paxos" has 1
  clockSkewMs: number; // default 500
  queue: number; // operations waiting in a client beyond its window: default 1024
}

export interface ClusterTiming {
  syncMinMs: number; // default 2: shortest period of SYNC, under load while views change; five times this when they don't
  syncMaxMs: number; // default 50
  syncEvery: number; // k: entries after which a SYNC goes out early, default 4096
  syncTimeoutMs: number; // default 50: no superquorum or silent leader
  reconciliationTimeoutMs: number; // default 50, doubled per view up to 1 s
  resendMs: number; // default 10: reconciliation messages are resent
  heartbeatMs: number; // default 20
  detectMs: number; // default 80: a replica not heard for so long counts as silent
}
