/** Where a cluster's engines listen and send: from its configuration, or named directly (the simulator's ports). */
import type { Cluster, ResolvedMulticast } from "../config-types.js";
import type { ClientEngineOptions, NativeAddress } from "./binding.js";

export interface Endpoints {
  /** Unicast addresses by replica index. */
  replicas: NativeAddress[];
  design: ClientEngineOptions["design"];
  /** The multicast group, or the relay that orders requests. */
  target?: NativeAddress;
  /** The multicast group that replicas listen to: that of the clients, or of the relay. */
  group?: NativeAddress;
  /** Local interface for multicast: an address, or a name the fabric understands. */
  interface?: string;
}

export function endpointsOf(cluster: Pick<Cluster, "replicas" | "network">): Endpoints {
  const { network } = cluster;
  const replicas = cluster.replicas.map(({ ip, port }) => ({ ip, port }));
  switch (network.design) {
    case "unicast":
      return { replicas, design: "unicast" };
    case "multicast": {
      const { group, interface: local } = multicastOf(network);
      return { replicas, design: "multicast", target: group, group, ...local };
    }
    case "serialized": {
      if (network.multicast === undefined) return { replicas, design: "serialized", target: network.relay };
      const { group, interface: local } = multicastOf(network.multicast);
      return { replicas, design: "serialized", target: network.relay, group, ...local };
    }
  }
}

function multicastOf({ group, port, interface: local }: ResolvedMulticast): { group: NativeAddress; interface: { interface?: string } } {
  return { group: { ip: group, port }, interface: local === undefined ? {} : { interface: local } };
}

/** The error for an address that can't be used, from what the native side threw; undefined if it is about something else. */
export function addressErrorCode(error: unknown): "ADDRESS_IN_USE" | "ADDRESS_INVALID" | undefined {
  const text = error instanceof Error ? `${(error as NodeJS.ErrnoException).code ?? ""} ${error.message}` : "";
  if (/EADDRINUSE|address already in use/i.test(text)) return "ADDRESS_IN_USE";
  if (/EADDRNOTAVAIL|EACCES|EINVAL|EAFNOSUPPORT|ENODEV|ENETUNREACH|cannot assign requested|permission denied|invalid address/i.test(text)) {
    return "ADDRESS_INVALID";
  }
  return undefined;
}
