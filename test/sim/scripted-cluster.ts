import { expect } from "vitest";
import { type Configuration, encodeConfiguration } from "../../src/control/membership.js";
import { MessageType, type NativeAddress, type NativeToolEngine } from "../../src/data/binding.js";
import { loadBinding } from "../../src/data/load.js";
import type { ClusterOptions, SimulatedCluster } from "../../src/sim/cluster.js";
import { Kind } from "../../src/sim/history.js";
import { newestMembers } from "../../src/sim/members.js";
import { encodeOperation, OPERATION_BYTES } from "../../src/sim/operation.js";
import type { Oracle } from "../../src/sim/oracle.js";
import type { Prng } from "../../src/sim/prng.js";
import { quietCluster } from "./quiet-cluster.js";

type Host = NonNullable<ReturnType<SimulatedCluster["host"]>>;

/** A quiet cluster with what a test of links, losses of memory and members does to it. Places, not indices: a place keeps its port. */
export class ScriptedCluster {
  readonly cluster: SimulatedCluster;
  readonly oracle: Oracle;
  private readonly prng: Prng;
  private operations = 0;
  private tools = 0;

  constructor(name: string, options: Pick<ClusterOptions, "replicas"> & Partial<ClusterOptions>) {
    const opened = quietCluster(name, options);
    this.cluster = opened.cluster;
    this.oracle = opened.oracle;
    this.prng = opened.prng;
  }

  run(ms: number): void {
    const { hub } = this.cluster;
    const untilUs = hub.nowUs() + 1000 * ms;
    while (hub.nowUs() < untilUs) {
      this.cluster.run(untilUs, Number.MAX_SAFE_INTEGER);
      this.cluster.bury();
    }
  }

  /** In steps of 50 us. */
  runUntil(condition: () => boolean, mostMs: number): boolean {
    for (let waited = 0; waited < 20 * mostMs && !condition(); waited++) this.run(0.05);
    return condition();
  }

  host(place: number): Host {
    return this.cluster.host(place) as Host;
  }

  address(place: number): NativeAddress {
    return { loop: this.cluster.replicaPorts[place] as number };
  }

  block(from: number, to: number, blocked = true): void {
    const { hub, replicaPorts } = this.cluster;
    hub.setBlocked(replicaPorts[from] as number, replicaPorts[to] as number, blocked);
  }

  /** Only within a group does anything get from one replica to another; the clients are cut off from all but `clients`. */
  partition(groups: readonly (readonly number[])[], clients: readonly number[]): void {
    const groupOf = (place: number) => groups.findIndex((group) => group.includes(place));
    const { hub, replicaPorts, clientPorts } = this.cluster;
    for (const from of replicaPorts.keys()) {
      for (const to of replicaPorts.keys()) {
        if (from !== to) this.block(from, to, groupOf(from) < 0 || groupOf(from) !== groupOf(to));
      }
      for (const client of clientPorts) {
        hub.setBlocked(replicaPorts[from] as number, client, !clients.includes(from));
        hub.setBlocked(client, replicaPorts[from] as number, !clients.includes(from));
      }
    }
  }

  restart(place: number): void {
    this.cluster.restart(place, this.prng.split(`${place} at ${this.cluster.hub.nowUs()}`));
  }

  /** An operator's, who speaks to the replicas at `asked`. */
  tool(asked: readonly number[], onFrame: (type: number, from: number, body: Uint8Array) => void = () => {}): NativeToolEngine {
    const { group, secret, sealed, datagramBytes } = this.cluster.cluster;
    return new (loadBinding().ToolEngine)(
      {
        fabric: this.cluster.hub,
        loopPort: this.cluster.operatorPort,
        group,
        role: "operator",
        id: Buffer.alloc(8, ++this.tools),
        key: secret as Uint8Array,
        replicas: asked.map((place) => this.address(place)),
        sealed,
        datagramBytes,
      },
      onFrame,
    );
  }

  /** As an operator does, of the replicas at `asked`, until one of them is in it or `done`. */
  reconfigure(configuration: Configuration, asked: readonly number[], done = () => false): void {
    const tool = this.tool(asked);
    const body = Buffer.concat([this.host(asked[0] as number).engine.lifeId() as Uint8Array, encodeConfiguration(configuration)]);
    const entered = () => done() || asked.some((place) => this.host(place).epoch === configuration.epoch);
    for (let tries = 0; tries < 500 && !entered(); tries++) {
      for (const index of asked.keys()) tool.ask(index, MessageType.Reconfigure, body);
      this.runUntil(entered, 1);
    }
    tool.close();
  }

  /** One operation of the client; whether it completed within `mostMs`. */
  operate(mostMs: number): boolean {
    const bytes = Buffer.alloc(OPERATION_BYTES);
    const id = ++this.operations;
    encodeOperation(bytes, { kind: Kind.Write, object: 0, client: 0, id, argument: id, expected: 0 });
    let done = false;
    const [client] = this.cluster.clients;
    const submission = client?.trySubmit(bytes, (error, _result, seqno) => {
      done = error === undefined;
      if (done) this.oracle.accepted(id, seqno);
    });
    expect(submission).toBe("accepted");
    client?.flush();
    return this.runUntil(() => done, mostMs);
  }

  expectAgreement(members: { epoch: number; places: number[] }): void {
    for (let waited = 0; waited < 5000 && this.cluster.disagreement() !== undefined; waited += 50) this.run(50);
    expect(this.cluster.disagreement()).toBeUndefined();
    expect(newestMembers(this.cluster)).toMatchObject(members);
    expect(this.oracle.violations).toEqual([]);
  }
}
