/** A replica's data plane in memory: a log of records, frozen, installed, truncated and restored as the native engine does it. */
import { createHash } from "node:crypto";
import type { ControlCounter, ControlEvent, DataPlane } from "../../src/control/data-plane.js";
import { PositionBytes, type Snapshot } from "../../src/control/snapshot.js";
import { Mode, ReplicaStatus } from "../../src/data/binding.js";
import { FakeLeader } from "./fake-leader.js";

export interface Entry {
  record: Uint8Array;
  hash: Uint8Array;
  view: number;
}

/** What a replica tells a client about an entry. */
export interface Answer {
  view: number;
  seqno: number;
  hash: string;
  operation: string;
  committed: boolean;
}

export const zeroHash = new Uint8Array(32);

export function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}

/** session 8, request number 8, operation's bytes. */
export function makeRecord(session: number, request: number, operation = "x"): Uint8Array {
  const bytes = Buffer.alloc(16 + operation.length);
  bytes.writeUInt32LE(session, 0);
  bytes.writeUInt32LE(request, 8);
  bytes.write(operation, 16);
  return bytes;
}

export function operationOf(record: Uint8Array): string {
  return hex(record.subarray(0, 16));
}

export function summaryHash(previous: Uint8Array, record: Uint8Array): Uint8Array {
  return sha256(previous, record);
}

function sha256(...parts: Uint8Array[]): Uint8Array {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(part);
  return hash.digest();
}

export interface FakeOptions {
  replica: number;
  n: number;
  lifeId: Uint8Array | undefined;
  send: (to: number, type: number, body: Uint8Array) => unknown;
  committed: (seqno: number) => unknown;
  answered: (answer: Answer) => void;
  /** Entries between checkpoints; 0: none. */
  checkpointEvery: number;
  checkpoint: (snapshot: Snapshot) => void;
  logEntries: number;
}

/** The first place of an operation in the log: it was executed there. */
interface Executed {
  seqno: number;
  hash: string;
}

export class FakeDataPlane implements DataPlane {
  lifeId: Uint8Array | undefined;
  view = 0;
  lastNormalView = 0;
  status: number = ReplicaStatus.Normal;
  mode: number = Mode.Speculative;
  logBase = 0;
  halted = false;
  loopDelayUs = 0;
  committed = 0;
  get accepted(): number {
    return this.committed;
  }
  /** Entries above logBase. */
  entries: Entry[] = [];
  buffered: Uint8Array[] = [];
  failures: string[] = [];
  events: ControlEvent[] = [];
  installs: { view: number; keepTo: number; records: number }[] = [];
  restores: number[] = [];
  /** Whether requests come here. */
  hears = true;
  answered: [number, number][] = [];
  counts = { reconciliations: 0, syncs: 0, modeSwitches: 0 };
  /** Test builds only: appends go on while the log is frozen. */
  freezeLog = true;
  /** The machine computes something else here. */
  wrongState = false;
  /** Verifications are put off: onVerified must be called for these. */
  verifiesLater = false;
  readonly verifications: { snapshot: Snapshot; valid: boolean }[] = [];
  readonly leader: FakeLeader;
  readonly #options: FakeOptions;
  #baseHash: Uint8Array = zeroHash;
  #executed = new Map<string, Executed>();

  constructor(options: Partial<FakeOptions> = {}) {
    this.#options = {
      replica: 0,
      n: 1,
      lifeId: new Uint8Array(16),
      send: () => {},
      committed: () => {},
      answered: () => {},
      checkpointEvery: 0,
      checkpoint: () => {},
      logEntries: 1 << 20,
      ...options,
    };
    this.leader = new FakeLeader(this, this.#options.replica, this.#options.n);
    this.lifeId = this.#options.lifeId;
  }

  get durableEnd(): number {
    return this.logEnd;
  }
  get diskDelayUs(): number {
    return 0;
  }
  get viewDurable(): boolean {
    return true;
  }
  get logEnd(): number {
    return this.logBase + this.entries.length;
  }
  speak(): void {}
  get logEntries(): number {
    return this.#options.logEntries;
  }
  get logFill(): number {
    return (this.logEnd - this.logBase) / this.logEntries;
  }

  /** A request from the multicast. */
  append(record: Uint8Array): void {
    if (this.status === ReplicaStatus.Reconciliation && this.freezeLog) {
      this.buffered.push(record);
      return;
    }
    if (this.status === ReplicaStatus.Recovery) return;
    const operation = operationOf(record);
    if (!this.#executed.has(operation)) {
      if (this.mode === Mode.Leader && !this.leader.leads) {
        this.leader.arrived(record);
        return;
      }
      if (this.entries.length >= this.logEntries) return;
      this.push(record);
      if (this.mode === Mode.Leader) this.leader.prepare(1);
    }
    if (this.status === ReplicaStatus.Normal) this.#answer(operation);
  }

  push(record: Uint8Array): void {
    const hash = summaryHash(this.hashAt(this.logEnd), record);
    this.entries.push({ record, hash, view: this.view });
    const operation = operationOf(record);
    if (!this.#executed.has(operation)) this.#executed.set(operation, { seqno: this.logEnd, hash: hex(hash) });
  }

  hashAt(seqno: number): Uint8Array {
    if (seqno < this.logBase || seqno > this.logEnd) throw new Error(`hashAt(${seqno}) of (${this.logBase}, ${this.logEnd}]`);
    return seqno === this.logBase ? this.#baseHash : this.#entry(seqno).hash;
  }
  #entry(seqno: number): Entry {
    const entry = this.entries[seqno - this.logBase - 1];
    if (!entry) throw new Error(`no entry ${seqno} in (${this.logBase}, ${this.logEnd}]`);
    return entry;
  }
  suffixRows(from: number, to: number): Uint8Array {
    if (from <= this.logBase || to > this.logEnd || to < from) throw new Error(`suffixRows(${from}, ${to}) of ${this.logEnd}`);
    const entries = this.entries.slice(from - this.logBase - 1, to - this.logBase);
    return Buffer.concat(entries.flatMap(({ hash, record }) => [hash, record.subarray(0, 16)]));
  }
  record(seqno: number): Uint8Array {
    return this.#entry(seqno).record;
  }
  viewOf(seqno: number): number {
    return seqno > this.logBase ? this.#entry(seqno).view : 0;
  }
  summaryHash(previous: Uint8Array, record: Uint8Array): Uint8Array {
    return summaryHash(previous, record);
  }
  freeze(view: number): void {
    if (view < this.view) throw new Error(`freeze(${view}) in view ${this.view}`);
    this.view = view;
    this.status = ReplicaStatus.Reconciliation;
  }
  install(view: number, mode: number, keepTo: number, records: Uint8Array[]): void {
    if (view < this.view || keepTo < this.committed || keepTo > this.logEnd) throw new Error(`install(${view}, ${keepTo})`);
    this.installs.push({ view, keepTo, records: records.length });
    this.entries.splice(keepTo - this.logBase);
    for (const [operation, { seqno }] of this.#executed) if (seqno > keepTo) this.#executed.delete(operation);
    this.hears = true;
    this.view = view;
    this.lastNormalView = view;
    this.mode = mode;
    this.status = ReplicaStatus.Normal;
    for (const record of records) this.push(Uint8Array.from(record));
    this.leader.reset();
    if (this.committed < this.logEnd && mode === Mode.Speculative) this.answer(this.committed + 1, this.logEnd);
    for (const record of this.buffered.splice(0)) this.append(record);
  }
  installSnapshot(view: number, mode: number, snapshot: Snapshot, records: Uint8Array[]): boolean {
    const copies = records.map((record) => Uint8Array.from(record));
    this.#restore(snapshot);
    this.install(view, mode, snapshot.seqno, copies);
    return true;
  }
  restore(snapshot: Snapshot): boolean {
    const behind = this.status === ReplicaStatus.Normal && this.mode === Mode.Leader && snapshot.seqno >= this.logEnd;
    if (this.status !== ReplicaStatus.Recovery && !behind) throw new Error("restore");
    this.#restore(snapshot);
    return true;
  }
  #restore({ seqno, position, sessions }: Snapshot): void {
    if (seqno < this.committed) throw new Error(`restore(${seqno}) with ${this.committed} committed`);
    this.restores.push(seqno);
    this.logBase = seqno;
    this.#baseHash = Uint8Array.from(position.subarray(0, 32));
    this.entries = [];
    this.#executed = new Map(JSON.parse(Buffer.from(sessions.subarray(32)).toString()) as [string, Executed][]);
    this.committed = seqno;
    this.#options.committed(seqno);
  }
  setLife(lifeId: Uint8Array): boolean {
    if (this.status !== ReplicaStatus.Recovery) return false;
    this.lifeId = lifeId;
    return true;
  }
  hearRequests(wanted: boolean): void {
    this.hears = wanted;
  }
  committedRun(from: number, to: number, maxBytes: number): Uint8Array {
    if (from <= this.logBase || from > this.committed) throw new Error(`committedRun(${from})`);
    const parts: Uint8Array[] = [];
    let bytes = 32;
    let last = from - 1;
    do {
      const record = this.record(++last);
      const length = Buffer.alloc(4);
      length.writeUInt32LE(record.length);
      parts.push(length, record);
      bytes += 4 + record.length;
    } while (last < Math.min(to, this.committed) && bytes + 4 + this.record(last + 1).length <= maxBytes);
    return Buffer.concat([this.hashAt(last), ...parts]);
  }
  appendRun(run: Uint8Array): number {
    if (this.status !== ReplicaStatus.Recovery) throw new Error("appendRun");
    const bytes = Buffer.from(run);
    const records: Uint8Array[] = [];
    let hash = this.hashAt(this.logEnd);
    for (let at = 32; at < bytes.length; at += 4 + bytes.readUInt32LE(at)) {
      const record = Uint8Array.from(bytes.subarray(at + 4, at + 4 + bytes.readUInt32LE(at)));
      records.push(record);
      hash = this.summaryHash(hash, record);
    }
    if (hex(hash) !== hex(run.subarray(0, 32))) return -1;
    for (const record of records) this.push(record);
    this.commitTo(this.logEnd);
    return 0;
  }
  hashLater(): boolean {
    return false;
  }
  verify(snapshot: Snapshot): boolean | undefined {
    const valid = hex(digestOf(snapshot)) === hex(snapshot.digest);
    if (!this.verifiesLater) return valid;
    this.verifications.push({ snapshot, valid });
    return undefined;
  }
  truncate(seqno: number): void {
    if (seqno > this.committed) throw new Error(`truncate(${seqno}) with ${this.committed} committed`);
    if (seqno <= this.logBase) return;
    const hash = this.hashAt(seqno);
    this.entries.splice(0, seqno - this.logBase);
    this.logBase = seqno;
    this.#baseHash = hash;
  }
  commitTo(seqno: number): void {
    if (seqno > this.logEnd) throw new Error(`commitTo(${seqno}) of ${this.logEnd}`);
    if (seqno <= this.committed) return;
    const first = this.committed + 1;
    this.committed = seqno;
    this.#options.committed(seqno);
    if (this.mode === Mode.Leader && this.status === ReplicaStatus.Normal && this.leader.leads) this.answer(first, seqno);
    const { checkpointEvery } = this.#options;
    const due = checkpointEvery === 0 ? 0 : Math.floor(seqno / checkpointEvery) * checkpointEvery;
    if (due >= first) this.#options.checkpoint(this.snapshotAt(due));
  }
  prepareAgain(to: number): void {
    this.leader.prepareAgain(to);
  }
  prepareStats(): number[] {
    return this.leader.stats();
  }
  answer(from: number, to: number): void {
    this.answered.push([from, to]);
    for (let seqno = from; seqno <= to; seqno++) this.#answer(operationOf(this.#entry(seqno).record));
  }
  #answer(operation: string): void {
    const { seqno, hash } = this.#executed.get(operation) as Executed;
    const committed = seqno <= this.committed;
    if (committed || this.mode === Mode.Speculative) this.#options.answered({ view: this.view, seqno, hash, operation, committed });
  }
  send(to: number, type: number, body: Uint8Array): void {
    this.#options.send(to, type, body);
  }
  fail(message: string): void {
    this.failures.push(message);
  }
  event(event: ControlEvent): void {
    this.events.push(event);
  }
  count(counter: ControlCounter): void {
    this.counts[counter]++;
  }

  /** State and session table at a committed seqno above logBase. The machine's state is the list of operations. */
  snapshotAt(seqno: number): Snapshot {
    const executed = [...this.#executed].filter(([, one]) => one.seqno <= seqno).sort((a, b) => a[1].seqno - b[1].seqno);
    const position = Buffer.alloc(PositionBytes);
    position.set(this.hashAt(seqno));
    const table = Buffer.from(JSON.stringify(executed));
    const machine = Buffer.from(executed.map(([operation]) => operation).join(this.wrongState ? "!" : ""));
    const snapshot = { seqno, position, machine, sessions: Buffer.concat([sha256(table), table]), digest: zeroHash };
    return { ...snapshot, digest: digestOf(snapshot) };
  }
}

function digestOf({ seqno, position, machine, sessions }: Snapshot): Uint8Array {
  return sha256(Buffer.from(String(seqno)), position, sessions.subarray(0, 32), sha256(machine));
}
