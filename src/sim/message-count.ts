/**
 * What one operation costs in messages, as in Table 1 of the paper: a group without faults whose paths all take one unit of time, one
 * client with one operation at a time. Counted, not timed: SYNC, heartbeats and what else goes by the clock are put so far off that
 * none of them happens meanwhile, and no two messages share a datagram.
 */
import type { ClusterProtocol, ClusterTiming } from "../config-types.js";
import { ClientState, type NativeBinding, StatusWord } from "../data/binding.js";
import { SimulatedCluster } from "./cluster.js";
import { Kind } from "./history.js";
import { encodeOperation, OPERATION_BYTES } from "./operation.js";
import { Oracle } from "./oracle.js";
import { Prng } from "./prng.js";
import type { ClientPlan } from "./workload.js";

export interface MessageCountOptions {
  binding: NativeBinding;
  protocol: ClusterProtocol;
  replicas: number;
  /** Default 50. */
  operations?: number;
}

export interface MessageCount {
  /** From the client's request to its result, one after the other. */
  delays: number;
  /** Datagrams of one operation, clients' included. */
  datagrams: number;
  /** Of these, sent or received by each replica. */
  atReplica: number[];
  /** The largest of atReplica. */
  atBottleneck: number;
}

const UnitUs = 100;
const FarMs = 100_000;
const LimitUs = 1_000_000;
const path = { baseDelayUs: UnitUs, jitterUs: 0, lossPpm: 0, duplicatePpm: 0, reorderPpm: 0, reorderDelayUs: 0, corruptPpm: 0 };
const client: ClientPlan = { index: 0, outstanding: 1, ordered: false, misbehave: "none", crashAtUs: undefined, bursts: [] };

/** Of a SPECULATIVE view, and of the others' leader telling commits, the period counts from the first operation. */
const timing: ClusterTiming = {
  syncMinMs: FarMs,
  syncMaxMs: 2 * FarMs,
  syncEvery: 1_000_000,
  syncTimeoutMs: 10 * FarMs,
  reconciliationTimeoutMs: 10 * FarMs,
  resendMs: FarMs,
  heartbeatMs: FarMs,
  detectMs: 10 * FarMs,
};

/** Throws when the group does not start, or an operation is not answered. */
export function countMessages({ binding, protocol, replicas, operations = 50 }: MessageCountOptions): MessageCount {
  const prng = new Prng(1, "message count");
  const cluster = new SimulatedCluster({
    binding,
    seed: 1,
    prng,
    oracle: new Oracle(),
    replicas,
    spares: 0,
    plans: [client],
    multicast: false,
    operations,
    timing,
    window: 1,
    protocol,
    durability: "memory",
    diskSyncUs: [0, 0],
    mode: "speculative",
    checkpointEvery: 0,
    guardsOff: 0,
    onEvent: () => {},
    onCommitted: () => {},
  });
  try {
    const { hub, replicaPorts } = cluster;
    hub.setDefaultPath(path);
    if (!cluster.start(prng.split("life"))) throw new Error(`${replicas} replicas under ${protocol} did not start`);
    const [host] = cluster.clients;
    if (host?.state !== ClientState.Ready) throw new Error("the client has no session");
    const invoke = (id: number): number => {
      const operation = new Uint8Array(OPERATION_BYTES);
      encodeOperation(operation, { kind: Kind.Write, object: 0, client: 0, id, argument: id, expected: 0 });
      const startUs = hub.nowUs();
      let endUs: number | undefined;
      const submitted = host.trySubmit(operation, (error) => {
        if (error !== undefined) throw error;
        endUs = hub.nowUs();
      });
      if (submitted !== "accepted") throw new Error(`the operation was not accepted: ${submitted}`);
      host.flush();
      // To the last of its messages, so that each is counted with its own operation.
      hub.run(startUs + 20 * UnitUs, LimitUs);
      if (endUs === undefined) throw new Error(`operation ${id} was not answered`);
      return (endUs - startUs) / UnitUs;
    };
    // Greetings may still be under way; the first operation makes the client's acquaintance with the view.
    hub.run(hub.nowUs() + 1_000 * UnitUs, LimitUs);
    invoke(1);
    const before = replicaPorts.map((port) => hub.portCounters(port));
    const sentBefore = hub.counters().sent;
    let delays = 0;
    for (let id = 2; id < 2 + operations; id++) delays += invoke(id);
    const atReplica = replicaPorts.map((port, replica) => {
      const { sent, received } = hub.portCounters(port);
      return (sent - before[replica]!.sent + received - before[replica]!.received) / operations;
    });
    if (cluster.words()[0]![StatusWord.View] !== 0) throw new Error("the view changed meanwhile");
    return {
      delays: delays / operations,
      datagrams: (hub.counters().sent - sentBefore) / operations,
      atReplica,
      atBottleneck: Math.max(...atReplica),
    };
  } finally {
    cluster.close();
  }
}
