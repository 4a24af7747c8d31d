/** A replica's data plane in memory: a log of records, frozen and installed as the native engine does it. */
import { createHash } from "node:crypto";
import type { DataPlane } from "../../src/control/data-plane.js";
import { ReplicaStatus } from "../../src/data/binding.js";

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
  return createHash("sha256").update(previous).update(record).digest();
}

export class FakeDataPlane implements DataPlane {
  view = 0;
  lastNormalView = 0;
  status: number = ReplicaStatus.Normal;
  mode = 0;
  committed = 0;
  entries: Entry[] = [];
  buffered: Uint8Array[] = [];
  failures: string[] = [];
  installs: { view: number; keepTo: number; records: number }[] = [];
  answered: [number, number][] = [];
  counts = { reconciliations: 0, syncs: 0 };
  /** Test builds only: appends go on while the log is frozen. */
  freezeLog = true;
  readonly #operations = new Set<string>();

  constructor(
    private readonly sendFrame: (to: number, type: number, body: Uint8Array) => void = () => {},
    private readonly onCommit: (seqno: number) => void = () => {},
    private readonly onAnswer: (answer: Answer) => void = () => {},
  ) {}

  get logEnd(): number {
    return this.entries.length;
  }

  /** A request from the multicast. */
  append(record: Uint8Array): void {
    if (this.status === ReplicaStatus.Reconciliation && this.freezeLog) {
      this.buffered.push(record);
      return;
    }
    if (this.status === ReplicaStatus.Recovery) return;
    if (!this.#operations.has(operationOf(record))) this.#push(record);
    const operation = operationOf(record);
    const seqno = this.entries.findLastIndex((entry) => operationOf(entry.record) === operation) + 1;
    if (this.status === ReplicaStatus.Normal) this.answer(seqno, seqno);
  }

  #push(record: Uint8Array): void {
    this.entries.push({ record, hash: summaryHash(this.hashAt(this.logEnd), record), view: this.view });
    this.#operations.add(operationOf(record));
  }

  hashAt(seqno: number): Uint8Array {
    if (seqno < 0 || seqno > this.logEnd) throw new Error(`hashAt(${seqno}) of ${this.logEnd}`);
    return seqno === 0 ? zeroHash : this.#entry(seqno).hash;
  }
  #entry(seqno: number): Entry {
    const entry = this.entries[seqno - 1];
    if (!entry) throw new Error(`no entry ${seqno} of ${this.logEnd}`);
    return entry;
  }
  suffixRows(from: number, to: number): Uint8Array {
    if (from < 1 || to > this.logEnd || to < from) throw new Error(`suffixRows(${from}, ${to}) of ${this.logEnd}`);
    return Buffer.concat(this.entries.slice(from - 1, to).flatMap(({ hash, record }) => [hash, record.subarray(0, 16)]));
  }
  record(seqno: number): Uint8Array {
    return this.#entry(seqno).record;
  }
  viewOf(seqno: number): number {
    return this.#entry(seqno).view;
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
    for (const entry of this.entries.splice(keepTo)) this.#operations.delete(operationOf(entry.record));
    this.view = view;
    this.lastNormalView = view;
    this.mode = mode;
    this.status = ReplicaStatus.Normal;
    for (const record of records) this.#push(record);
    if (this.committed < this.logEnd) this.answer(this.committed + 1, this.logEnd);
    for (const record of this.buffered.splice(0)) this.append(record);
  }
  commitTo(seqno: number): void {
    if (seqno > this.logEnd) throw new Error(`commitTo(${seqno}) of ${this.logEnd}`);
    if (seqno <= this.committed) return;
    this.committed = seqno;
    this.onCommit(seqno);
  }
  answer(from: number, to: number): void {
    this.answered.push([from, to]);
    for (let seqno = from; seqno <= to; seqno++) {
      const { record, hash } = this.#entry(seqno);
      const committed = seqno <= this.committed;
      this.onAnswer({ view: this.view, seqno, hash: hex(hash), operation: operationOf(record), committed });
    }
  }
  send(to: number, type: number, body: Uint8Array): void {
    this.sendFrame(to, type, body);
  }
  fail(message: string): void {
    this.failures.push(message);
  }
  count(counter: "reconciliations" | "syncs"): void {
    this.counts[counter]++;
  }
}
