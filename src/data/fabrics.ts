/** One UDP fabric for all replicas, clients and groups of a thread, closed with its last user. */
import type { NativeBinding, NativeUdpFabric } from "./binding.js";

interface Shared {
  fabric: NativeUdpFabric;
  users: number;
}
const shared = new Map<NativeBinding, Shared>();

export interface FabricLease {
  readonly fabric: NativeUdpFabric;
  /** Idempotent. */
  release(): void;
}

export function leaseFabric(binding: NativeBinding): FabricLease {
  let entry = shared.get(binding);
  if (entry === undefined) {
    entry = { fabric: new binding.UdpFabric(), users: 0 };
    shared.set(binding, entry);
  }
  const held = entry;
  held.users++;
  let released = false;
  return {
    fabric: held.fabric,
    release() {
      if (released) return;
      released = true;
      if (--held.users > 0) return;
      shared.delete(binding);
      held.fabric.close();
    },
  };
}
