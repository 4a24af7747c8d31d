/** What one replica's machine was asked to do, for the oracles. */
import type { Witness } from "./model-machine.js";
import { ADVERSARY_OBJECT } from "./operation.js";
import type { Oracle, ReplicaView } from "./oracle.js";

/** One replica's machine as the oracles saw it: ids and fingerprints of what it executed, by seqno. */
export class ReplicaWitness implements Witness {
  ids = new Int32Array(4096);
  fingerprints = new Int32Array(4096);
  committedSeqno = 0;
  /** Operations on the adversaries' objects, executed and not committed yet, by seqno. */
  readonly adversaries = new Map<number, Uint8Array>();
  private end = 0;

  constructor(
    private readonly oracle: Oracle,
    readonly replica: number,
    readonly view: () => ReplicaView | undefined,
  ) {}

  executed(seqno: number, operationId: number, fingerprint: number, operation: Uint8Array): void {
    this.fill(seqno - 1);
    this.ids[seqno] = operationId;
    this.fingerprints[seqno] = fingerprint;
    this.end = seqno;
    if (operation[1] === ADVERSARY_OBJECT) this.adversaries.set(seqno, new Uint8Array(operation));
  }

  rolledBack(_fromSeqno: number, toSeqno: number): void {
    for (const seqno of this.adversaries.keys()) if (seqno > toSeqno) this.adversaries.delete(seqno);
    this.end = Math.min(this.end, toSeqno);
  }

  committed(seqno: number): void {
    this.fill(seqno);
    this.oracle.commit(this, this.committedSeqno, seqno);
    this.committedSeqno = seqno;
  }

  restored(seqno: number, fingerprint: number): void {
    if (seqno < this.committedSeqno) this.violated(`restored the state at ${seqno} after ${this.committedSeqno} was committed`);
    while (seqno + 1 >= this.ids.length) this.double();
    this.adversaries.clear();
    this.end = this.committedSeqno = seqno;
    this.fingerprints[seqno] = fingerprint;
    this.oracle.restored(this, seqno, fingerprint);
  }

  queried(operationId: number, value: number): void {
    this.oracle.reads.answered(operationId, value);
  }

  violated(what: string): void {
    this.oracle.violate(what, this.replica);
  }

  /** Entries up to here that the machine was not asked to execute are no-ops. */
  private fill(seqno: number): void {
    while (seqno + 1 >= this.ids.length) this.double();
    for (; this.end < seqno; this.end++) {
      this.ids[this.end + 1] = 0;
      this.fingerprints[this.end + 1] = this.fingerprints[this.end]!;
    }
  }

  private double(): void {
    this.ids = doubled(this.ids);
    this.fingerprints = doubled(this.fingerprints);
  }
}

export function doubled(array: Int32Array<ArrayBuffer>): Int32Array<ArrayBuffer> {
  const copy = new Int32Array(2 * array.length);
  copy.set(array);
  return copy;
}
