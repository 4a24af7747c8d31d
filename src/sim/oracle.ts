/**
 * Safety oracles outside the system. They watch every machine upcall of every replica and every reply that a client accepts,
 * and hold them against one committed history:
 *  - what is committed at a seqno is the same at every replica, byte for byte and hash for hash, and never changes;
 *  - what a client accepted at a seqno is what is committed there;
 *  - no request takes effect twice, and a replay of the committed history on a fresh machine gives the results clients got.
 */

import type { Kind } from "./history.js";
import { type History, NEVER } from "./history.js";
import { ModelMachine, type Witness } from "./model-machine.js";
import { ADVERSARY_OBJECT, encodeOperation, OPERATION_BYTES, readResult } from "./operation.js";

/** What the oracles read from a replica, besides what its machine is told. */
export interface ReplicaView {
  hashAt(seqno: number): Uint8Array;
  suffixRows(from: number, to: number): Uint8Array;
  executedOperation(seqno: number): Uint8Array | undefined;
}

export interface Violation {
  what: string;
  replica?: number;
  seqno?: number;
}

/** The first few say what is wrong; a run that is broken would fill the memory with the rest. */
const VIOLATIONS_KEPT = 20;

export class Oracle {
  readonly violations: Violation[] = [];
  /** Operation ids by seqno (0: a no-op or an entry of the system), as the first replica to commit had them. */
  private committedIds = new Int32Array(4096);
  private committedFingerprints = new Int32Array(4096);
  private committedEnd = 0;
  /** Operation ids that clients accepted, by seqno. */
  private acceptedIds = new Int32Array(4096);
  private readonly boundaries = new Boundaries();
  private readonly refusedIds = new Set<number>();
  private readonly replicas: ReplicaWitness[] = [];

  witnessFor(replica: number, view: () => ReplicaView | undefined): Witness {
    const witness = new ReplicaWitness(this, replica, view);
    this.replicas[replica] = witness;
    return witness;
  }

  violate(what: string, replica?: number, seqno?: number): void {
    if (this.violations.length >= VIOLATIONS_KEPT) return;
    this.violations.push({ what, ...(replica === undefined ? {} : { replica }), ...(seqno === undefined ? {} : { seqno }) });
  }

  /** A client took `id` for executed at `seqno`. */
  accepted(id: number, seqno: number): void {
    while (seqno >= this.acceptedIds.length) this.acceptedIds = doubled(this.acceptedIds);
    const other = this.acceptedIds[seqno]!;
    if (other !== 0 && other !== id) this.violate(`clients accepted operations ${other} and ${id} at one seqno`, undefined, seqno);
    if (seqno <= this.committedEnd && this.committedIds[seqno] !== id) {
      this.violate(`a client accepted operation ${id}, but ${this.committedIds[seqno]} is committed`, undefined, seqno);
    }
    this.acceptedIds[seqno] = id;
  }

  /** A client was told that `id` is not executed. */
  refused(id: number): void {
    this.refusedIds.add(id);
  }

  /** Called by a replica's witness: (fromSeqno, toSeqno] became committed there. */
  commit(witness: ReplicaWitness, fromSeqno: number, toSeqno: number): void {
    while (toSeqno >= this.committedIds.length) {
      this.committedIds = doubled(this.committedIds);
      this.committedFingerprints = doubled(this.committedFingerprints);
    }
    const known = Math.min(toSeqno, this.committedEnd);
    for (let seqno = fromSeqno + 1; seqno <= known; seqno++) {
      if (witness.ids[seqno] !== this.committedIds[seqno] || witness.fingerprints[seqno] !== this.committedFingerprints[seqno]) {
        this.violate(
          `committed operation ${witness.ids[seqno]}, another replica ${this.committedIds[seqno]}, or with other bytes`,
          witness.replica,
          seqno,
        );
        break;
      }
    }
    for (let seqno = known + 1; seqno <= toSeqno; seqno++) {
      const id = witness.ids[seqno]!;
      this.committedIds[seqno] = id;
      this.committedFingerprints[seqno] = witness.fingerprints[seqno]!;
      const accepted = seqno < this.acceptedIds.length ? this.acceptedIds[seqno]! : 0;
      if (accepted !== 0 && accepted !== id)
        this.violate(`committed operation ${id}, a client accepted ${accepted}`, witness.replica, seqno);
    }
    this.committedEnd = Math.max(this.committedEnd, toSeqno);
    const hash = witness.view()?.hashAt(toSeqno);
    if (hash !== undefined) this.boundaries.note(toSeqno, hash, witness.replica);
  }

  /**
   * At the end of a run, with all replicas at the same committed seqno: compares whole logs, looks for requests executed
   * twice or out of a session's order, replays. Marks in `history` where operations with unknown outcome were committed.
   * `idOffset`: id - history index.
   */
  finish(history: History, idOffset: number, orderedClients: ReadonlySet<number>, snapshots: Uint8Array[]): void {
    const reference = this.replicas.reduce((best, witness) => (witness.committedSeqno > best.committedSeqno ? witness : best));
    const view = reference.view();
    if (view === undefined) return;
    const end = reference.committedSeqno;
    const rows = end === 0 ? new Uint8Array(0) : view.suffixRows(1, end);
    if (rows.length !== 48 * end) {
      this.violate(`committed ${end} entries, its log has ${rows.length / 48}`, reference.replica, end);
      return;
    }
    for (const witness of this.replicas) {
      const own = witness.view();
      if (witness === reference || own === undefined) continue;
      const ownEnd = witness.committedSeqno;
      if (ownEnd > 0 && Buffer.compare(rows.subarray(0, 48 * ownEnd), own.suffixRows(1, ownEnd)) !== 0) {
        this.violate(`committed log differs from that of replica ${reference.replica}`, witness.replica, ownEnd);
      }
    }
    this.boundaries.compare(rows, end, (seqno, replica) =>
      this.violate("what was committed here has changed: another summary hash", replica, seqno),
    );
    for (let seqno = 1; seqno < this.acceptedIds.length; seqno++) {
      const id = this.acceptedIds[seqno]!;
      if (id !== 0 && (seqno > end || this.committedIds[seqno] !== id))
        this.violate(`operation ${id}, accepted by a client, is not in the committed history`, undefined, seqno);
    }
    this.findDuplicates(rows, end);
    this.checkOrder(history, idOffset, orderedClients, end);
    this.replay(history, idOffset, view, end, snapshots);
  }

  /** An ordered session's operations take effect in the order of their invocation, none before its predecessor. */
  private checkOrder(history: History, idOffset: number, orderedClients: ReadonlySet<number>, end: number): void {
    const issued = new Map<number, number[]>();
    for (const client of orderedClients) issued.set(client, []);
    for (let index = 0; index < history.count; index++) issued.get(history.client[index]!)?.push(index + idOffset);
    const executed = new Map<number, number>();
    for (let seqno = 1; seqno <= end; seqno++) {
      const id = this.committedIds[seqno]!;
      if (id === 0) continue;
      const client = history.client[id - idOffset];
      const order = client === undefined ? undefined : issued.get(client);
      if (client === undefined || order === undefined) continue;
      const before = executed.get(client) ?? 0;
      if (order[before] !== id)
        this.violate(`operation ${id} of ordered client ${client} was executed where ${order[before]} was due`, undefined, seqno);
      executed.set(client, before + 1);
    }
  }

  private findDuplicates(rows: Uint8Array, end: number): void {
    const words = new DataView(rows.buffer, rows.byteOffset, rows.byteLength);
    const seen = new Map<number, Set<number>>();
    for (let seqno = 1; seqno <= end; seqno++) {
      if (this.committedIds[seqno] === 0) continue;
      const at = 48 * (seqno - 1);
      const session = words.getUint32(at + 32, true) + (words.getUint32(at + 36, true) & 0x1fffff) * 2 ** 32;
      const request = words.getUint32(at + 40, true);
      let requests = seen.get(session);
      if (requests === undefined) {
        requests = new Set();
        seen.set(session, requests);
      }
      if (requests.has(request)) this.violate(`request ${request} of a session was executed twice`, undefined, seqno);
      requests.add(request);
    }
  }

  private replay(history: History, idOffset: number, view: ReplicaView, end: number, snapshots: Uint8Array[]): void {
    const machine = new ModelMachine();
    const bytes = Buffer.alloc(OPERATION_BYTES);
    const operation = { kind: 0 as Kind, object: 0, client: 0, id: 0, argument: 0, expected: 0 };
    for (let seqno = 1; seqno <= end; seqno++) {
      const id = this.committedIds[seqno]!;
      if (id === 0) continue;
      if (this.refusedIds.has(id))
        this.violate(`operation ${id} is committed, though its client was told that it is not executed`, undefined, seqno);
      machine.commit(seqno - 1);
      const index = id - idOffset;
      if (index < 0 || index >= history.count) {
        this.violate(`executed an operation nobody sent (id ${id})`, undefined, seqno);
        continue;
      }
      operation.kind = history.kind[index]! as Kind;
      operation.object = history.object[index]!;
      if (operation.object === ADVERSARY_OBJECT) {
        const executed = view.executedOperation(seqno);
        if (executed !== undefined) machine.speculativelyExecute(seqno, executed);
        continue;
      }
      if (history.claimedSeqno[index]! > 0 && history.claimedSeqno[index] !== seqno)
        this.violate(`operation ${id} is committed here and was accepted at ${history.claimedSeqno[index]}`, undefined, seqno);
      history.claimedSeqno[index] = seqno;
      operation.client = history.client[index]!;
      operation.id = id;
      operation.argument = history.argument[index]!;
      operation.expected = history.expected[index]!;
      encodeOperation(bytes, operation);
      const result = readResult(machine.speculativelyExecute(seqno, bytes));
      if (history.respondedAt[index] !== NEVER && result !== history.result[index]) {
        this.violate(`a replay gives ${result} where the client got ${history.result[index]} (operation ${id})`, undefined, seqno);
      }
    }
    const expected = machine.snapshot();
    snapshots.forEach((snapshot, replica) => {
      if (Buffer.compare(snapshot, expected) !== 0)
        this.violate("the machine's state differs from a replay of the committed history", replica, end);
    });
  }
}

/** One replica's machine as the oracles saw it: ids and fingerprints of what it executed, by seqno. */
class ReplicaWitness implements Witness {
  ids = new Int32Array(4096);
  fingerprints = new Int32Array(4096);
  committedSeqno = 0;
  private end = 0;

  constructor(
    private readonly oracle: Oracle,
    readonly replica: number,
    readonly view: () => ReplicaView | undefined,
  ) {}

  executed(seqno: number, operationId: number, fingerprint: number): void {
    this.fill(seqno - 1);
    this.ids[seqno] = operationId;
    this.fingerprints[seqno] = fingerprint;
    this.end = seqno;
  }

  rolledBack(_fromSeqno: number, toSeqno: number): void {
    this.end = Math.min(this.end, toSeqno);
  }

  committed(seqno: number): void {
    this.fill(seqno);
    this.oracle.commit(this, this.committedSeqno, seqno);
    this.committedSeqno = seqno;
  }

  violated(what: string): void {
    this.oracle.violate(what, this.replica);
  }

  /** Entries up to here that the machine was not asked to execute are no-ops. */
  private fill(seqno: number): void {
    while (seqno + 1 >= this.ids.length) {
      this.ids = doubled(this.ids);
      this.fingerprints = doubled(this.fingerprints);
    }
    for (; this.end < seqno; this.end++) {
      this.ids[this.end + 1] = 0;
      this.fingerprints[this.end + 1] = this.fingerprints[this.end]!;
    }
  }
}

/** Each replica's summary hash at each seqno up to which it committed, as it was then: 48 bytes an entry, seqno, replica and hash. */
class Boundaries {
  private bytes = Buffer.alloc(48 * 1024);
  private count = 0;

  note(seqno: number, hash: Uint8Array, replica: number): void {
    if (48 * (this.count + 1) > this.bytes.length) this.bytes = Buffer.concat([this.bytes, Buffer.alloc(this.bytes.length)]);
    const at = 48 * this.count++;
    this.bytes.writeDoubleLE(seqno, at);
    this.bytes[at + 8] = replica;
    this.bytes.set(hash, at + 16);
  }

  /** `rows`: the committed log up to `end`, 48 bytes an entry, hash first. */
  compare(rows: Uint8Array, end: number, differs: (seqno: number, replica: number) => void): void {
    for (let at = 0; at < 48 * this.count; at += 48) {
      const seqno = this.bytes.readDoubleLE(at);
      if (seqno < 1 || seqno > end) continue;
      const row = 48 * (seqno - 1);
      if (this.bytes.compare(rows, row, row + 32, at + 16, at + 48) !== 0) differs(seqno, this.bytes[at + 8]!);
    }
  }
}

function doubled(array: Int32Array<ArrayBuffer>): Int32Array<ArrayBuffer> {
  const copy = new Int32Array(2 * array.length);
  copy.set(array);
  return copy;
}
