/** What a replica says about itself when it is asked for its status. */
import type { Cluster } from "../config-types.js";
import type { ControlPlaneSnapshot } from "../control/control-plane.js";
import { formatAddress } from "../control/membership.js";
import { type ReplicaReport, readProgress } from "../status.js";
import { version } from "../version.js";
import type { NativeReplicaEngine } from "./binding.js";
import { limitsDigest } from "./boot.js";
import type { Persistence } from "./durability/persistence.js";
import type { Epochs } from "./epochs.js";
import { hex } from "./hashing.js";
import type { MachineHost } from "./machine-host.js";

export interface ReportSources {
  words: Float64Array;
  /** undefined once it is closed. */
  engine: NativeReplicaEngine | undefined;
  control: ControlPlaneSnapshot;
  epochs: Epochs;
  machine: MachineHost;
  cluster: Cluster;
  configDigest: Uint8Array;
  bootId: Uint8Array;
  openedUs: number;
  broken: string | undefined;
  persistence: Persistence | undefined;
}

/** The report, without digest. */
export function describeReplica({ words, engine, control, epochs, machine, cluster, persistence, ...of }: ReportSources): ReplicaReport {
  const progress = readProgress(words);
  const lifeId = engine?.lifeId();
  const { failure } = machine;
  const { leader, unheard, lastReason, recovery, wireVersion } = control;
  const storageFailure = persistence?.failure;
  return {
    id: epochs.id,
    replicas: epochs.replicas.length,
    epoch: epochs.epoch,
    members: epochs.replicas.map(formatAddress),
    ...(epochs.next === undefined ? {} : { nextEpoch: epochs.next.epoch }),
    joining: epochs.joining,
    limitsDigest: hex(limitsDigest(cluster)),
    ...progress,
    version,
    wireVersion,
    timeMs: Date.now(),
    uptimeMs: engine === undefined ? 0 : (engine.nowUs() - of.openedUs) / 1000,
    leader,
    silent: [...unheard],
    reason: recovery?.text ?? lastReason,
    configDigest: hex(of.configDigest),
    lifeId: lifeId === undefined ? undefined : hex(lifeId),
    bootId: hex(of.bootId),
    committedHash: engine === undefined ? "" : hex(engine.hashAt(progress.committed)),
    hash: engine === undefined ? "" : hex(engine.hashAt(progress.speculative)),
    ...(failure === undefined
      ? {}
      : { failure: { code: failure.code, seqno: failure.seqno, upcall: failure.upcall, message: failure.text } }),
    ...(of.broken === undefined ? {} : { broken: of.broken }),
    durability: cluster.durability,
    ...(storageFailure === undefined ? {} : { storageFailure: { code: storageFailure.code, message: storageFailure.message } }),
    network: engine === undefined ? {} : engine.counters(),
  };
}
