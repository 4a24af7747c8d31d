import { randomBytes } from "node:crypto";
import type { Cluster } from "../../dist/config-types.js";
import { ClientState, type NativeAddress } from "../../dist/data/binding.js";
import { ClientHost } from "../../dist/data/client-host.js";
import { loadBinding } from "../../dist/data/load.js";
import { ReplicaHost } from "../../dist/data/replica-host.js";
import counterMachine, { operationBytes } from "../machines/counter.js";

/** One way, virtual time: long enough that a round trip is not one instant, short enough that no timer comes in between. */
const delayUs = 10;

const addOne = Buffer.alloc(operationBytes);
addOne.writeDoubleLE(1);

/** Three replicas and a client in this process on virtual time: all of the work of an operation, and no system call. */
export class LoopGroup {
  readonly #hub;
  readonly #replicas: ReplicaHost[];
  readonly #client: ClientHost;
  #completed = 0;
  readonly #onResult = (): void => {
    this.#completed++;
  };

  constructor(logEntries: number) {
    const binding = loadBinding();
    this.#hub = new binding.LoopHub(1, 0);
    this.#hub.setDefaultPath({
      baseDelayUs: delayUs,
      jitterUs: 0,
      lossPpm: 0,
      duplicatePpm: 0,
      reorderPpm: 0,
      reorderDelayUs: 0,
      corruptPpm: 0,
    });
    const ports = [0, 1, 2].map(() => this.#hub.addPort());
    const endpoints = { replicas: ports.map((loop): NativeAddress => ({ loop })), design: "unicast" as const };
    const cluster = loopCluster(logEntries);
    const common = { binding, fabric: this.#hub, cluster, endpoints };
    this.#replicas = ports.map((loopPort, id) => new ReplicaHost({ ...common, loopPort, id, machine: counterMachine() }));
    this.#client = new ClientHost({ ...common, loopPort: this.#hub.addPort(), clientId: randomBytes(8) });
    const lifeId = randomBytes(16);
    for (const replica of this.#replicas) replica.bootstrap(lifeId);
    this.#client.start();
    for (let i = 0; i < 1000 && this.#client.state !== ClientState.Ready; i++) this.#advance(1000);
    if (this.#client.state !== ClientState.Ready) throw new Error("the group on the loop did not start");
  }

  /** Invokes `count` operations at once and runs until all are answered. */
  invoke(count: number): void {
    const target = this.#completed + count;
    for (let i = 0; i < count; i++) {
      const submission = this.#client.trySubmit(addOne, this.#onResult);
      if (submission !== "accepted") throw new Error(`an operation was not accepted: ${submission}`);
    }
    this.#client.flush();
    while (this.#completed < target) this.#advance(delayUs);
  }

  close(): void {
    this.#client.close();
    for (const replica of this.#replicas) replica.close();
    this.#hub.stop();
  }

  #advance(us: number): void {
    this.#hub.run(this.#hub.nowUs() + us, Number.MAX_SAFE_INTEGER);
  }
}

function loopCluster(logEntries: number): Cluster {
  return {
    file: undefined,
    group: randomBytes(8),
    replicas: [1, 2, 3].map((port) => ({ ip: "127.0.0.1", port })),
    network: { design: "unicast" },
    secret: randomBytes(32),
    clientKey: undefined,
    sealed: true,
    datagramBytes: 32768,
    packing: true,
    protocol: "speculative",
    mode: "speculative",
    durability: "memory",
    limits: {
      operationBytes: 1 << 16,
      window: 64,
      sessions: 16,
      logEntries,
      logBytes: logEntries * 512,
      checkpointEvery: logEntries / 8,
      prepareBatch: 64,
      clockSkewMs: 500,
      queue: 1,
    },
    timing: {
      syncMinMs: 2,
      syncMaxMs: 50,
      syncEvery: 4096,
      syncTimeoutMs: 50,
      reconciliationTimeoutMs: 50,
      resendMs: 10,
      heartbeatMs: 20,
      detectMs: 80,
    },
  };
}
