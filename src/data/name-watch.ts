/**
 * Looks the names of a cluster file up again while a client misses answers, and has it greet the replicas at the addresses that they lead
 * to then.
 */
import type { Cluster } from "../config-types.js";
import { ClientState, ClientWord } from "./client-binding.js";
import type { ClientHost } from "./client-host.js";
import { endpointsOf } from "./endpoints.js";

/** A client that heard nothing for two of them looks names up, and goes on with it every few. */
const CheckMs = 1_000;
const SilentChecks = 2;
const ChecksBetween = 3;

export class NameWatch {
  private readonly host: ClientHost;
  private readonly lookUp: () => Promise<Pick<Cluster, "replicas" | "network">>;
  private readonly timer: NodeJS.Timeout;
  private readonly direct: boolean;
  private received = 0;
  private retransmissions = 0;
  private missing = 0;

  /** Holds no process up. */
  constructor(host: ClientHost, cluster: Cluster, lookUp: () => Promise<Pick<Cluster, "replicas" | "network">>) {
    this.host = host;
    this.lookUp = lookUp;
    this.direct = cluster.network.design !== "serialized";
    this.timer = setInterval(() => this.check(), CheckMs);
    this.timer.unref();
  }

  stop(): void {
    clearInterval(this.timer);
  }

  private check(): void {
    const { words } = this.host;
    const received = words[ClientWord.FramesReceived] as number;
    const retransmissions = words[ClientWord.Retransmissions] as number;
    const waits = this.host.outstanding > 0 || this.host.state !== ClientState.Ready;
    // Replicas answer what they get by another way when a relay has gone.
    const relayMissing = !this.direct && retransmissions > this.retransmissions;
    if ((waits && received === this.received) || relayMissing) this.missing++;
    else this.missing = 0;
    this.received = received;
    this.retransmissions = retransmissions;
    if (this.missing >= SilentChecks && (this.missing - SilentChecks) % ChecksBetween === 0) void this.look();
  }

  private async look(): Promise<void> {
    try {
      const { replicas, network } = await this.lookUp();
      if (this.host.closed) return;
      const { target } = endpointsOf({ replicas, network });
      this.host.engine.setAddresses({ replicas, ...(network.design === "serialized" && target !== undefined && { target }) });
    } catch {
      // A name without an address now may have one at the next try; operations end at their own deadlines.
    }
  }
}
