/** The relay of the serialized design: one process through which every request goes, so that all replicas get one order. */
import { type ClusterSource, loadCluster } from "./config.js";
import { addressErrorCode } from "./data/endpoints.js";
import { leaseFabric } from "./data/fabrics.js";
import { loadBinding } from "./data/load.js";
import { SquallError } from "./errors.js";
import { checkOptions } from "./options.js";

export interface Relay {
  /** Where clients send. */
  readonly address: { ip: string; port: number };
  /** Datagrams received and sent, and what the network endpoint counts. */
  counters(): Record<string, number>;
  close(): void;
}

/**
 * Starts the relay that the cluster file names. It reads no frame and holds no key.
 * Rejects with CLUSTER_FILE_INVALID when the design is not `serialized`, ADDRESS_IN_USE, ADDRESS_INVALID, and what loadCluster says.
 */
export async function createRelay(options: { cluster: ClusterSource }): Promise<Relay> {
  checkOptions("createRelay", options, ["cluster"]);
  const cluster = await loadCluster(options.cluster, { role: "relay" });
  const { network } = cluster;
  if (network.design !== "serialized") {
    throw new SquallError("CLUSTER_FILE_INVALID", `A relay serves the design "serialized"; "network.design" is "${network.design}".`);
  }
  const address = network.relay;
  const binding = loadBinding();
  const lease = leaseFabric(binding);
  try {
    const relay = new binding.Relay({
      fabric: lease.fabric,
      bind: address,
      targets: cluster.replicas,
      datagramBytes: cluster.datagramBytes,
      packing: cluster.packing,
    });
    return {
      address,
      counters: () => relay.counters(),
      close() {
        relay.close();
        lease.release();
      },
    };
  } catch (cause) {
    lease.release();
    const code = addressErrorCode(cause);
    if (code === undefined) throw cause;
    const problem =
      code === "ADDRESS_IN_USE" ? "is in use: end the other process, or choose another port" : "can't be used on this machine";
    throw new SquallError(code, `The relay's address ${address.ip}:${address.port} ${problem}.`, { cause });
  }
}
