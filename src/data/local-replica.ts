/** A replica in this thread: the host with its share of the thread's sockets. Used by `thread: "main"` and inside the Worker. */
import type { Cluster } from "../config-types.js";
import type { Machine } from "../machine.js";
import type { ReplicaReport } from "../status.js";
import { StatusWord } from "./binding.js";
import type { ReplicaEvent } from "./events.js";
import { leaseFabric } from "./fabrics.js";
import { combineDigests, hashBytes } from "./hashing.js";
import { loadBinding } from "./load.js";
import { ReplicaHost } from "./replica-host.js";

export interface LocalReplicaOptions {
  cluster: Cluster;
  id: number;
  machine: Machine;
  debug: boolean;
  words: Float64Array;
  bindingPath: string | undefined;
  onEvent: (event: ReplicaEvent) => void;
}

export interface LocalReplica {
  report(): ReplicaReport;
  /** Digest of state and sessions at the executed seqno, in hexadecimal. */
  digest(): Promise<{ executed: number; digest: string }>;
  address(): { ip: string; port: number };
  close(): void;
}

/** Opens the replica's sockets; throws what ReplicaHost throws. */
export function openLocalReplica(options: LocalReplicaOptions): LocalReplica {
  const binding = loadBinding(options.bindingPath);
  const lease = leaseFabric(binding);
  let host: ReplicaHost;
  const close = (): void => {
    host.close();
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
      words: options.words,
      onEvent: (event) => {
        options.onEvent(event);
        // Not from within the engine's upcall that reports it.
        if (event.type === "invariant-broken" || event.type === "retired") setImmediate(close);
      },
    });
  } catch (error) {
    lease.release();
    throw error;
  }
  return {
    report: () => host.report(),
    async digest() {
      // State, sessions and seqno are read in one go; only the hashing of a large snapshot happens later.
      const executed = host.words[StatusWord.Executed] as number;
      const sessions = host.closed ? new Uint8Array(0) : host.engine.sessionDigest().slice();
      const state = host.machine.digestOrSnapshot();
      const stateDigest = state === undefined ? new Uint8Array(0) : "digest" in state ? state.digest : await hashBytes(state.snapshot);
      return { executed, digest: combineDigests(stateDigest, sessions).toString("hex") };
    },
    address: () => host.address() as { ip: string; port: number },
    close,
  };
}
