export { type BootstrapOptions, bootstrap } from "./bootstrap.js";
export { type CheckFinding, type CheckOptions, type CheckReport, checkMachine } from "./check.js";
export {
  Client,
  type ClientMetrics,
  type ConnectOptions,
  type ConsistencyName,
  connect,
  type InvokeOptions,
  type ReadOptions,
} from "./client.js";
export {
  type ClusterFile,
  type ClusterSource,
  type HostLookup,
  type InitOptions,
  issueClientKey,
  type LoadClusterOptions,
  loadCluster,
  rewriteMembers,
  writeClientKey,
  writeCluster,
} from "./config.js";
export type { Cluster, ClusterLimits, ClusterTiming, Durability, ResolvedNetwork } from "./config-types.js";
export type { Submission } from "./data/client-host.js";
export type { InvokeCallback } from "./data/completions.js";
export type { ReplicaEvent } from "./data/events.js";
export { defineMachine } from "./define-machine.js";
export { type CheckName, type DoctorCheck, type DoctorOptions, type DoctorReport, doctor } from "./doctor.js";
export { type ErrorCode, type Outcome, SquallError } from "./errors.js";
export type { Machine, MachineFactory, OperationContext } from "./machine.js";
export {
  type ListMembersOptions,
  listMembers,
  type Membership,
  type MembershipChange,
  type ReconfigureOptions,
  type ReconfigureProgress,
  reconfigure,
} from "./members.js";
export { type PrometheusOptions, prometheusRegistry } from "./metrics/prometheus.js";
export { createMetricsServer, type MetricsServer, type MetricsServerOptions } from "./metrics/server.js";
export { type BeginNewLifeOptions, beginNewLife, type NewLifePlan, type PlanNewLifeOptions, planNewLife } from "./new-life.js";
export { type StatusOptions, type StatusSample, status, type WatchOptions, watchStatus } from "./query-status.js";
export type { ReplicaRates } from "./rates.js";
export { createRelay, type Relay } from "./relay.js";
export { createReplica, Replica, type ReplicaOptions } from "./replica.js";
export type { ModeName, ReplicaCounters, ReplicaProgress, ReplicaReport, StatusName } from "./status.js";
export type { WaitStrategy } from "./wait.js";
