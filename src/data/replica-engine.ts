/** Opens the native engine of a replica as its cluster configures it. */
import { protocolRules } from "../config/protocols.js";
import { SquallError } from "../errors.js";
import type { NativeReplicaEngine, ReplicaUpcalls } from "./binding.js";
import { addressErrorCode, endpointsOf } from "./endpoints.js";
import type { MachineHost } from "./machine-host.js";
import type { ReplicaHostOptions } from "./replica-host-options.js";
import { newestWireVersion } from "./wire-version.js";

/** Throws ADDRESS_IN_USE, ADDRESS_INVALID or INVALID_OPTION. */
export function openReplicaEngine(
  options: ReplicaHostOptions,
  secret: Uint8Array,
  words: Float64Array,
  machine: MachineHost,
  upcalls: ReplicaUpcalls,
): NativeReplicaEngine {
  const { cluster } = options;
  const endpoints = options.endpoints ?? endpointsOf(cluster);
  const { limits } = cluster;
  const rules = protocolRules(cluster);
  try {
    return new options.binding.ReplicaEngine(
      {
        fabric: options.fabric,
        ...(options.loopPort === undefined ? {} : { loopPort: options.loopPort }),
        group: cluster.group,
        replica: options.id,
        replicas: endpoints.replicas,
        ...(endpoints.group === undefined
          ? {}
          : { multicast: { group: endpoints.group, ...(endpoints.interface === undefined ? {} : { interface: endpoints.interface }) } }),
        secret,
        sealed: cluster.sealed,
        datagramBytes: cluster.datagramBytes,
        packing: cluster.packing,
        maxOperationBytes: limits.operationBytes,
        window: limits.window,
        maxSessions: limits.sessions,
        logEntries: limits.logEntries,
        logBytes: limits.logBytes,
        maxClockSkewMs: limits.clockSkewMs,
        checkpointEvery: checkpointEvery(options),
        prepareBatch: rules.prepareBatch,
        newestWireVersion: newestWireVersion(),
        mode: rules.firstMode,
        status: words,
        rows: machine.rows,
        arena: machine.arena,
        results: machine.results,
        durability: options.stored?.level ?? 0,
        ...(options.wait === undefined ? {} : { wait: options.wait }),
        ...(options.guardsOff === undefined ? {} : { guardsOff: options.guardsOff }),
      },
      upcalls,
    );
  } catch (cause) {
    if (cause instanceof RangeError) {
      throw new SquallError(
        "INVALID_OPTION",
        `The system grants no address space for a log of ${limits.logEntries} entries and ${limits.logBytes} bytes: lower limits.logEntries or limits.logBytes.`,
        { cause },
      );
    }
    const code = addressErrorCode(cause);
    if (code === undefined) throw cause;
    const address = cluster.replicas[options.id];
    const what =
      code === "ADDRESS_IN_USE"
        ? "is in use: another process, or this replica a second time, has the port"
        : "can't be bound on this machine";
    throw new SquallError(code, `Replica ${options.id}'s address ${address?.ip} port ${address?.port} ${what}.`, { cause });
  }
}

/** A machine without both upcalls has no checkpoints, and its log is never truncated. */
export function checkpointEvery({ cluster, machine }: ReplicaHostOptions): number {
  return machine.snapshot !== undefined && machine.restore !== undefined ? cluster.limits.checkpointEvery : 0;
}
