/**
 * A group of control planes on virtual time. Frames go through a random network (run) or wait in a list until a script delivers
 * them (see script.ts). Two oracles watch: nobody commits two different entries at a seqno, and no operation that a client saw
 * accepted by a superquorum loses its place.
 */
import { ControlPlane, type ControlPlaneConfig } from "../../src/control/control-plane.js";
import { encodeStartReconciliation } from "../../src/control/messages.js";
import { superquorum } from "../../src/control/quorums.js";
import type { Snapshot } from "../../src/control/snapshot.js";
import { MessageType, Mode, ReplicaStatus } from "../../src/data/binding.js";
import { Prng } from "../../src/sim/prng.js";
import { type Answer, FakeDataPlane, hex, makeRecord } from "./fake-data-plane.js";

export const timing: ControlPlaneConfig["timing"] = {
  syncMinMs: 2,
  syncMaxMs: 50,
  syncEvery: 4096,
  syncTimeoutMs: 50,
  reconciliationTimeoutMs: 50,
  resendMs: 10,
  heartbeatMs: 20,
  detectMs: 80,
};

const lifeId = new Uint8Array(16).fill(7);

export interface NetworkProfile {
  lossProbability: number;
  duplicateProbability: number;
  minDelayUs: number;
  maxDelayUs: number;
  /** Probability that a frame takes 50 times longer. */
  slowProbability: number;
}

export const calm: NetworkProfile = { lossProbability: 0, duplicateProbability: 0, minDelayUs: 50, maxDelayUs: 60, slowProbability: 0 };
export const stormy: NetworkProfile = {
  lossProbability: 0.05,
  duplicateProbability: 0.05,
  minDelayUs: 50,
  maxDelayUs: 1500,
  slowProbability: 0.02,
};

interface Event {
  atUs: number;
  order: number;
  run: () => void;
}

export interface GroupOptions {
  n: number;
  seed?: number;
  guardsOff?: number;
  network?: NetworkProfile;
  timing?: Partial<ControlPlaneConfig["timing"]>;
  config?: Partial<ControlPlaneConfig>;
  /** Entries between checkpoints; default 0: none. */
  checkpointEvery?: number;
  logEntries?: number;
}

export class Group {
  readonly n: number;
  readonly data: FakeDataPlane[] = [];
  readonly control: ControlPlane[] = [];
  readonly sent: { atUs: number; from: number; to: number; type: number }[] = [];
  readonly violations: string[] = [];
  readonly prng: Prng;
  network: NetworkProfile;
  nowUs = 0;
  readonly paused: boolean[];
  readonly #events: Event[] = [];
  #order = 0;
  readonly #blocked = new Set<string>();
  readonly #committed = new Map<number, { hash: string; replica: number }>();
  readonly #votes = new Map<string, Set<number>>();
  /** Operations accepted by a client: seqno and summary hash. */
  readonly accepted = new Map<string, { seqno: number; hash: string }>();
  /** Takes a frame out of the network: true when a test keeps it. */
  intercept: (from: number, to: number, type: number, body: Uint8Array) => boolean = () => false;

  crashes = 0;

  constructor(readonly options: GroupOptions) {
    this.n = options.n;
    this.prng = new Prng(options.seed ?? 1, "control");
    this.network = options.network ?? calm;
    this.paused = new Array(options.n).fill(false);
    for (let r = 0; r < options.n; r++) {
      this.data.push(this.#makeData(r, ReplicaStatus.Normal));
      this.control.push(this.#makeControl(r));
    }
  }

  #makeData(r: number, status: ReplicaStatus): FakeDataPlane {
    const { n, options } = this;
    const data: FakeDataPlane = new FakeDataPlane({
      replica: r,
      n,
      lifeId: status === ReplicaStatus.Normal ? lifeId : undefined,
      // What a process sent that is gone is not cut off, but nothing new comes from it.
      send: (to, type, body) => this.data[r] === data && this.#send(r, to, type, body),
      committed: (seqno) => this.data[r] === data && this.#onCommit(r, seqno),
      answered: (answer) => this.#later(() => this.#onAnswer(r, answer)),
      checkpointEvery: options.checkpointEvery ?? 0,
      checkpoint: (snapshot) => this.#onCheckpoint(r, snapshot),
      logEntries: options.logEntries ?? 1 << 20,
    });
    data.status = status;
    if (options.config?.mode === "leader") data.mode = Mode.Leader;
    return data;
  }

  #makeControl(r: number): ControlPlane {
    const { n, options } = this;
    const bootId = new Uint8Array(16).map(() => this.prng.u32() % 256);
    const config = { replica: r, n, mode: "speculative" as const, bootId, guardsOff: options.guardsOff ?? 0 };
    return new ControlPlane({ ...config, timing: { ...timing, ...options.timing }, ...options.config }, this.replica(r));
  }

  replica(r: number): FakeDataPlane {
    return this.data[r] as FakeDataPlane;
  }

  plane(r: number): ControlPlane {
    return this.control[r] as ControlPlane;
  }

  block(from: number, to: number, blocked = true): void {
    if (blocked) this.#blocked.add(`${from}>${to}`);
    else this.#blocked.delete(`${from}>${to}`);
  }

  /** Cuts `r` off from everybody, both ways. */
  isolate(r: number, isolated = true): void {
    for (let other = 0; other < this.n; other++) {
      if (other === r) continue;
      this.block(r, other, isolated);
      this.block(other, r, isolated);
    }
  }

  heal(): void {
    this.#blocked.clear();
    this.paused.fill(false);
    this.network = calm;
  }

  /** A request at these replicas at once, in this order. */
  request(record: Uint8Array, replicas: number[] = [...this.data.keys()]): void {
    for (const r of replicas) this.deliverRequest(r, record);
  }

  deliverRequest(r: number, record: Uint8Array): void {
    if (this.paused[r] || !this.replica(r).hears) return;
    this.replica(r).append(record);
    this.plane(r).onProgress(this.nowUs);
  }

  /** A request through the network. */
  multicast(record: Uint8Array): void {
    for (let r = 0; r < this.n; r++) {
      if (this.prng.unit() < this.network.lossProbability) continue;
      this.#schedule(this.#delayUs(), () => this.deliverRequest(r, record));
    }
  }

  at(delayUs: number, run: () => void): void {
    this.#schedule(delayUs, run);
  }

  /** A frame arrives: at the data plane, if it is for that one. */
  frame(from: number, to: number, type: number, body: Uint8Array): boolean {
    if (this.replica(to).lifeId === undefined && type !== MessageType.RecoveryQuery && type !== MessageType.RecoveryAnswer) return true;
    const prepares = type === MessageType.Prepare || type === MessageType.PrepareOk;
    if (!prepares || !this.replica(to).leader.onFrame(from, type, body)) return this.plane(to).onFrame(this.nowUs, from, type, body);
    this.plane(to).onProgress(this.nowUs);
    return true;
  }

  /** START-RECONCILIATION of a replica that knows of no crash. */
  startReconciliation(from: number, to: number, view: number): void {
    const body = encodeStartReconciliation({ view, incarnation: 1, recovering: false, vector: new Array(this.n).fill(1) });
    this.frame(from, to, MessageType.StartReconciliation, body);
  }

  /** `r` loses all it knew and starts again: another process. What the former one sent is still under way. */
  crash(r: number): void {
    this.crashes++;
    this.#checkedTo[r] = 0;
    this.data[r] = this.#makeData(r, ReplicaStatus.Recovery);
    this.control[r] = this.#makeControl(r);
  }

  /** Replicas without memory that do not take part yet. */
  get recovering(): number[] {
    return [...this.data.keys()].filter((r) => this.replica(r).status === ReplicaStatus.Recovery);
  }

  /** Runs until virtual time `untilUs`. */
  run(untilUs: number): void {
    for (;;) {
      let next = untilUs;
      let timer = -1;
      for (let r = 0; r < this.n; r++) {
        const due = this.plane(r).nextDeadlineUs();
        if (this.paused[r] || due > next) continue;
        next = Math.max(due, this.nowUs);
        timer = r;
      }
      const event = this.#events[0];
      if (event && event.atUs <= next) {
        this.#events.shift();
        this.nowUs = Math.max(this.nowUs, event.atUs);
        event.run();
      } else if (timer >= 0) {
        this.nowUs = next;
        this.plane(timer).onTimer(next);
      } else {
        this.nowUs = untilUs;
        return;
      }
    }
  }

  runFor(us: number): void {
    this.run(this.nowUs + us);
  }

  /** Everything that is wrong. */
  problems(): string[] {
    const failures = this.data.flatMap((data, r) => data.failures.map((message) => `replica ${r}: ${message}`));
    const lost: string[] = [];
    for (const [operation, { seqno, hash }] of this.accepted) {
      const committed = this.#committed.get(seqno);
      if (committed && committed.hash !== hash) lost.push(`operation ${operation} was accepted at ${seqno} and lost`);
    }
    return [...this.violations, ...failures, ...lost];
  }

  /** Why the replicas do not all hold one committed log; undefined when they do. */
  difference(): string | undefined {
    const first = this.replica(0);
    for (let r = 0; r < this.n; r++) {
      const data = this.replica(r);
      if (data.status !== 1) return `replica ${r} has status ${data.status} in view ${data.view}`;
      if (data.view !== first.view) return `views ${first.view} and ${data.view}`;
      if (data.committed !== data.logEnd) return `replica ${r}: ${data.committed} of ${data.logEnd} committed`;
      if (hex(data.hashAt(data.logEnd)) !== hex(first.hashAt(first.logEnd))) return `replica ${r} has another log`;
      if (hex(data.snapshotAt(data.logEnd).digest) !== hex(first.snapshotAt(first.logEnd).digest)) return `replica ${r} has another state`;
    }
    return undefined;
  }

  /** Frames sent, HEARTBEATs left out. */
  get talk(): { atUs: number; from: number; to: number; type: number }[] {
    return this.sent.filter((frame) => frame.type !== MessageType.Heartbeat);
  }

  countSent(type: number, sinceUs = 0): number {
    return this.sent.filter((frame) => frame.type === type && frame.atUs >= sinceUs).length;
  }

  #send(from: number, to: number, type: number, lentBody: Uint8Array): void {
    // What is sent may be written over when the call returns.
    const body = Uint8Array.from(lentBody);
    const targets = to >= 0 ? [to] : [...this.data.keys()].filter((r) => r !== from);
    for (const target of targets) {
      this.sent.push({ atUs: this.nowUs, from, to: target, type });
      if (this.intercept(from, target, type, body)) continue;
      if (this.prng.unit() < this.network.lossProbability) continue;
      const copies = this.prng.unit() < this.network.duplicateProbability ? 2 : 1;
      for (let i = 0; i < copies; i++) {
        this.#schedule(this.#delayUs(), () => {
          if (this.#blocked.has(`${from}>${target}`)) return;
          if (this.paused[target]) return;
          // Lent bytes: overwritten after the call.
          const lent = Buffer.from(body);
          this.frame(from, target, type, lent);
          lent.fill(0xee);
        });
      }
    }
  }

  #delayUs(): number {
    const { minDelayUs, maxDelayUs, slowProbability } = this.network;
    const delay = minDelayUs + this.prng.unit() * (maxDelayUs - minDelayUs);
    return Math.floor(this.prng.unit() < slowProbability ? delay * 50 : delay);
  }

  #later(run: () => void): void {
    this.#schedule(0, run);
  }

  #schedule(delayUs: number, run: () => void): void {
    const event = { atUs: this.nowUs + delayUs, order: this.#order++, run };
    let low = 0;
    let high = this.#events.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      const other = this.#events[middle] as Event;
      if (other.atUs < event.atUs || (other.atUs === event.atUs && other.order < event.order)) low = middle + 1;
      else high = middle;
    }
    this.#events.splice(low, 0, event);
  }

  /** Its digest takes a while. */
  #onCheckpoint(r: number, snapshot: Snapshot): void {
    const data = this.replica(r);
    this.at(this.prng.unit() < 0.5 ? 0 : this.prng.unit() * 20_000, () => {
      if (this.replica(r) === data && !this.paused[r]) this.plane(r).onCheckpoint(this.nowUs, snapshot);
    });
  }

  #checkedTo: number[] = [];

  #onCommit(r: number, to: number): void {
    const first = Math.max(this.#checkedTo[r] ?? 0, this.replica(r).logBase - 1) + 1;
    for (let seqno = Math.max(1, first); seqno <= to; seqno++) {
      const hash = hex(this.replica(r).hashAt(seqno));
      const before = this.#committed.get(seqno);
      if (!before) this.#committed.set(seqno, { hash, replica: r });
      else if (before.hash !== hash) this.violations.push(`replicas ${before.replica} and ${r} committed different entries at ${seqno}`);
    }
    this.#checkedTo[r] = to;
  }

  #onAnswer(r: number, answer: Answer): void {
    const { view, seqno, hash, operation } = answer;
    const key = `${view}/${seqno}/${hash}`;
    const votes = this.#votes.get(key) ?? new Set();
    votes.add(r);
    this.#votes.set(key, votes);
    if (votes.size < superquorum(this.n) && !answer.committed) return;
    const before = this.accepted.get(operation);
    if (!before) this.accepted.set(operation, { seqno, hash });
    else if (before.hash !== hash) this.violations.push(`operation ${operation} was accepted at ${before.seqno} and at ${seqno}`);
  }
}

export interface StormOptions {
  clients?: number;
  operations?: number;
  faultUs?: number;
  /** Replicas lose their memory, up to f at a time. */
  crashes?: boolean;
}

/** Requests of several clients, retried until accepted, with faults; then calm. Returns the group for checks. */
export function storm(options: GroupOptions & StormOptions): Group {
  const group = new Group({ network: stormy, ...options });
  const { prng } = group;
  const clients = options.clients ?? 4;
  const operations = options.operations ?? 60;
  for (let client = 1; client <= clients; client++) {
    const issue = (request: number): void => {
      if (request > operations) return;
      const record = makeRecord(client, request, `operation ${prng.u32()}`);
      const key = hex(record.subarray(0, 16));
      const attempt = (tries: number): void => {
        if (group.accepted.has(key)) {
          issue(request + 1);
          return;
        }
        group.multicast(record);
        if (tries > 0) for (const [r, data] of group.data.entries()) group.plane(r).onComplaint(group.nowUs, client, data.logEnd);
        group.at(2_000 + prng.unit() * 2_000 + Math.min(tries, 6) * 5_000, () => attempt(tries + 1));
      };
      attempt(0);
    };
    issue(1);
  }
  const faultUs = options.faultUs ?? 1_500_000;
  const fault = (): void => {
    if (group.nowUs > faultUs) return;
    const dice = prng.unit();
    const r = Math.floor(prng.unit() * group.n);
    const other = Math.floor(prng.unit() * group.n);
    const lastsUs = Math.floor(prng.unit() * 200_000);
    if (options.crashes && prng.unit() < 0.5) crash(group, r);
    if (dice < 0.3) {
      group.isolate(r);
      group.at(lastsUs, () => group.isolate(r, false));
    } else if (dice < 0.6 && other !== r) {
      group.block(r, other);
      group.at(lastsUs, () => group.block(r, other, false));
    } else if (dice < 0.8) {
      group.paused[r] = true;
      group.at(lastsUs, () => {
        group.paused[r] = false;
      });
    }
    group.at(20_000 + prng.unit() * 100_000, fault);
  };
  group.at(10_000, fault);
  group.run(faultUs);
  group.heal();
  return group;
}

/** Unless that were more than f without memory. It may come back at once, or later. */
export function crash(group: Group, r: number): void {
  const { prng, recovering, n } = group;
  if (!recovering.includes(r) && recovering.length >= Math.floor((n - 1) / 2)) return;
  group.crash(r);
  if (prng.unit() < 0.5) return;
  group.paused[r] = true;
  group.at(prng.unit() * 300_000, () => {
    group.paused[r] = false;
  });
}
