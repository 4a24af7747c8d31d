/** A replica in this thread: the host with its share of the thread's sockets. Used by `thread: "main"` and inside the Worker. */
import type { Cluster, Durability } from "../config-types.js";
import type { Machine } from "../machine.js";
import type { ReplicaReport } from "../status.js";
import type { WaitStrategy } from "../wait.js";
import { DurabilityLevel, type NativeBinding, StatusWord } from "./binding.js";
import { openDataDirectory, type StoredReplica } from "./durability/stored-replica.js";
import type { ReplicaEvent } from "./events.js";
import { leaseFabric } from "./fabrics.js";
import { combineDigests, hashBytes } from "./hashing.js";
import { loadBinding } from "./load.js";
import { ReplicaHost } from "./replica-host.js";

/** Of durability "async" and "sync". */
export interface DataDirectory {
  path: string;
  repair: boolean;
  /** The replica is to become a member: its index is not known yet. */
  joins: boolean;
}

export interface LocalReplicaOptions {
  cluster: Cluster;
  id: number;
  machine: Machine;
  debug: boolean;
  wait: WaitStrategy;
  words: Float64Array;
  /** undefined: durability is "memory". */
  directory: DataDirectory | undefined;
  bindingPath: string | undefined;
  onEvent: (event: ReplicaEvent) => void;
}

export interface LocalReplica {
  report(): ReplicaReport;
  /** Digest of state and sessions at the executed seqno, in hexadecimal. */
  digest(): Promise<{ executed: number; digest: string }>;
  address(): { ip: string; port: number };
  close(): Promise<void>;
}

const levels: Record<Durability, number> = { memory: DurabilityLevel.Memory, async: DurabilityLevel.Async, sync: DurabilityLevel.Sync };

/** Opens the data directory and the replica's sockets; rejects with STORAGE_* and what ReplicaHost throws. */
export async function openLocalReplica(options: LocalReplicaOptions): Promise<LocalReplica> {
  const binding = loadBinding(options.bindingPath);
  const stored = await openStored(binding, options);
  const lease = leaseFabric(binding);
  let host: ReplicaHost | undefined;
  const close = async (): Promise<void> => {
    // What goes wrong now was not promised to anybody.
    await new Promise<void>((resolve) => host?.close(() => resolve()));
    lease.release();
  };
  try {
    host = new ReplicaHost({
      binding,
      fabric: lease.fabric,
      cluster: options.cluster,
      id: options.id,
      machine: options.machine,
      debug: options.debug,
      wait: options.wait,
      words: options.words,
      ...(stored === undefined ? {} : { stored }),
      onEvent: (event) => {
        options.onEvent(event);
        // Not from within the engine's upcall that reports it.
        if (event.type === "invariant-broken" || event.type === "retired") setImmediate(close);
      },
    });
    host.begin();
  } catch (error) {
    if (host) await close();
    else {
      if (stored) await new Promise<void>((resolve) => stored.storage.close(() => resolve()));
      lease.release();
    }
    throw error;
  }
  const running = host;
  return {
    report: () => running.report(),
    async digest() {
      // State, sessions and seqno are read in one go; only the hashing of a large snapshot happens later.
      const executed = running.words[StatusWord.Executed] as number;
      const sessions = running.closed ? new Uint8Array(0) : running.engine.sessionDigest().slice();
      const state = running.machine.digestOrSnapshot();
      const stateDigest = state === undefined ? new Uint8Array(0) : "digest" in state ? state.digest : await hashBytes(state.snapshot);
      return { executed, digest: combineDigests(stateDigest, sessions).toString("hex") };
    },
    address: () => running.address() as { ip: string; port: number },
    close,
  };
}

async function openStored(binding: NativeBinding, { cluster, id, directory }: LocalReplicaOptions): Promise<StoredReplica | undefined> {
  if (directory === undefined) return undefined;
  const { path, repair, joins } = directory;
  return openDataDirectory(binding, path, {
    level: levels[cluster.durability],
    cluster: cluster.group,
    id: joins ? undefined : id,
    repair,
  });
}
