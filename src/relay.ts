/** The relay of the serialized design: one process through which every request goes, so that all replicas get one order. */
import { type ClusterSource, type LoadClusterOptions, loadCluster } from "./config.js";
import { type Cluster, lookAgain } from "./config-types.js";
import { addressErrorCode } from "./data/endpoints.js";
import { leaseFabric } from "./data/fabrics.js";
import { loadBinding } from "./data/load.js";
import { SquallError } from "./errors.js";
import { discover } from "./members.js";
import { checkOptions } from "./options.js";

type Address = { ip: string; port: number };

/** How often a relay asks who the members are, and how long it waits for an answer. */
const FollowMs = 500;
const AnswerMs = 400;

export interface RelayOptions {
  cluster: ClusterSource;
  /** As of `loadCluster`: a relay that holds a client key, or the secret, follows when the members change. */
  clientKey?: LoadClusterOptions["clientKey"];
}

export interface Relay {
  /** Where clients send. */
  readonly address: Address;
  /** Where it sends: the members' addresses, or the multicast group. */
  readonly targets: readonly Address[];
  /** Whether it asks who the members are, which takes a key. */
  readonly follows: boolean;
  /** Datagrams received and sent, and what the network endpoint counts. */
  counters(): Record<string, number>;
  close(): void;
}

/**
 * Starts the relay that the cluster file names. It reads no request. With a multicast group in the file it sends there. Else, with a client
 * key or the secret, it asks the members twice a second who they are, and sends to those; without, it sends to those of the cluster file.
 * Rejects with CLUSTER_FILE_INVALID when the design is not `serialized`, ADDRESS_IN_USE, ADDRESS_INVALID, and what loadCluster says.
 */
export async function createRelay(options: RelayOptions): Promise<Relay> {
  checkOptions("createRelay", options, ["cluster", "clientKey"]);
  const { cluster, asks } = await load(options);
  const { network } = cluster;
  if (network.design !== "serialized") {
    throw new SquallError("CLUSTER_FILE_INVALID", `A relay serves the design "serialized"; "network.design" is "${network.design}".`);
  }
  const address = network.relay;
  const { multicast } = network;
  const group = multicast && { ip: multicast.group, port: multicast.port };
  const binding = loadBinding();
  const lease = leaseFabric(binding);
  try {
    const relay = new binding.Relay({
      fabric: lease.fabric,
      bind: address,
      targets: group === undefined ? cluster.replicas : [group],
      ...(multicast?.interface !== undefined && { multicastInterface: multicast.interface }),
      datagramBytes: cluster.datagramBytes,
      packing: cluster.packing,
    });
    const members = new FollowedMembers(cluster, (targets) => relay.setTargets({ targets }));
    const follows = asks && group === undefined;
    if (follows) members.start();
    return {
      address,
      get targets() {
        return group === undefined ? members.targets : [group];
      },
      follows,
      counters: () => relay.counters(),
      close() {
        members.stop();
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

/** `asks`: it has the keys that it takes to ask the members who they are. */
async function load({ cluster, clientKey }: RelayOptions): Promise<{ cluster: Cluster; asks: boolean }> {
  if (clientKey !== undefined) return { cluster: await loadCluster(cluster, { role: "client", clientKey }), asks: true };
  try {
    return { cluster: await loadCluster(cluster, { role: "client" }), asks: true };
  } catch (error) {
    if (!(error instanceof SquallError && error.code.startsWith("SECRET_"))) throw error;
    return { cluster: await loadCluster(cluster, { role: "relay" }), asks: false };
  }
}

/** The members' addresses, asked for again and again: of the members known last, and where nobody answers, of where the names lead now. */
class FollowedMembers {
  targets: readonly Address[];
  private readonly cluster: Cluster;
  private readonly changed: (targets: Address[]) => void;
  private timer: NodeJS.Timeout | undefined;
  private stopped = false;

  constructor(cluster: Cluster, changed: (targets: Address[]) => void) {
    this.cluster = cluster;
    this.changed = changed;
    this.targets = cluster.replicas;
  }

  start(): void {
    this.timer = setTimeout(() => void this.round(), FollowMs);
    this.timer.unref();
  }

  stop(): void {
    this.stopped = true;
    clearTimeout(this.timer);
  }

  private async round(): Promise<void> {
    const found = (await this.ask(this.targets)) ?? (await this.ask(await this.named()));
    if (this.stopped) return;
    if (found !== undefined && format(found) !== format(this.targets)) {
      this.targets = found;
      this.changed(found);
    }
    this.start();
  }

  private async ask(addresses: readonly Address[]): Promise<Address[] | undefined> {
    try {
      const { members } = await discover({ ...this.cluster, replicas: [...addresses] }, AnswerMs);
      return members.map(({ address }) => address);
    } catch {
      // Nobody there belongs to a running cluster, now.
      return undefined;
    }
  }

  private async named(): Promise<readonly Address[]> {
    try {
      return (await this.cluster[lookAgain]?.())?.replicas ?? this.cluster.replicas;
    } catch {
      return this.cluster.replicas;
    }
  }
}

function format(addresses: readonly Address[]): string {
  return addresses.map(({ ip, port }) => `${ip} ${port}`).join();
}
