export { type BootstrapOptions, bootstrap } from "./bootstrap.js";
export { type CheckFinding, type CheckOptions, type CheckReport, checkMachine } from "./check.js";
export { Client, type ClientMetrics, type ConnectOptions, connect, type InvokeOptions } from "./client.js";
export {
  type ClusterFile,
  type ClusterSource,
  type InitOptions,
  issueClientKey,
  type LoadClusterOptions,
  loadCluster,
  writeClientKey,
  writeCluster,
} from "./config.js";
export type { Cluster, ClusterLimits, ClusterTiming, ResolvedNetwork } from "./config-types.js";
export type { Submission } from "./data/client-host.js";
export type { InvokeCallback } from "./data/completions.js";
export type { ReplicaEvent } from "./data/events.js";
export { defineMachine } from "./define-machine.js";
export { type ErrorCode, type Outcome, SquallError } from "./errors.js";
export type { Machine, MachineFactory, OperationContext } from "./machine.js";
export { type StatusOptions, status } from "./query-status.js";
export { createRelay, type Relay } from "./relay.js";
export { createReplica, Replica, type ReplicaOptions } from "./replica.js";
export type { ModeName, ReplicaCounters, ReplicaProgress, ReplicaReport, StatusName } from "./status.js";
