/**
 * Safety oracles outside the system. They watch every machine upcall of every replica and every reply that a client accepts,
 * and hold them against one committed history:
 *  - what is committed at a seqno is the same at every replica, byte for byte and hash for hash, and never changes;
 *  - what a client accepted at a seqno is what is committed there;
 *  - no request takes effect twice, and a replay of the committed history on a fresh machine gives the results clients got.
 */

import { Boundaries } from "./boundaries.js";
import type { Kind } from "./history.js";
import { type History, NEVER } from "./history.js";
import { ModelMachine } from "./model-machine.js";
import { ADVERSARY_OBJECT, encodeOperation, OPERATION_BYTES, readResult } from "./operation.js";
import { ReadOracle } from "./read-oracle.js";
import { doubled, ReplicaWitness } from "./witness.js";

/** What the oracles read from a replica, besides what its machine is told. */
export interface ReplicaView {
  /** Entries at or below it are gone. */
  logBase(): number;
  hashAt(seqno: number): Uint8Array;
  suffixRows(from: number, to: number): Uint8Array;
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
  readonly reads = new ReadOracle((what, replica, seqno) => this.violate(what, replica, seqno));
  /** Operation ids by seqno (0: a no-op or an entry of the system), as the first replica to commit had them. */
  private committedIds = new Int32Array(4096);
  private committedFingerprints = new Int32Array(4096);
  /** 48 bytes an entry, as suffixRows gives them. */
  private committedRows = Buffer.alloc(48 * 4096);
  private committedEnd = 0;
  /** Operations of the adversaries by seqno: only the log knows which of their variants it was. */
  private readonly adversaries = new Map<number, Uint8Array>();
  /** Operation ids that clients accepted, by seqno. */
  private acceptedIds = new Int32Array(4096);
  private readonly boundaries = new Boundaries();
  private readonly refusedIds = new Set<number>();
  private readonly replicas: (ReplicaWitness | undefined)[] = [];

  /** Takes the place of an earlier witness of that replica: it was restarted. */
  witnessFor(replica: number, view: () => ReplicaView | undefined): ReplicaWitness {
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
      this.committedRows = Buffer.concat([this.committedRows, Buffer.alloc(this.committedRows.length)]);
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
      const bytes = witness.adversaries.get(seqno);
      if (bytes !== undefined) this.adversaries.set(seqno, bytes);
    }
    for (const seqno of witness.adversaries.keys()) if (seqno <= toSeqno) witness.adversaries.delete(seqno);
    const view = witness.view();
    if (view === undefined) this.violate("committed by a replica that is closed", witness.replica, toSeqno);
    else {
      if (toSeqno > known) this.committedRows.set(view.suffixRows(known + 1, toSeqno), 48 * known);
      this.boundaries.note(toSeqno, view.hashAt(toSeqno), witness.replica);
    }
    this.committedEnd = Math.max(this.committedEnd, toSeqno);
  }

  /** A replica took over the state at `seqno` from another: what is not committed must not travel that way. */
  restored(witness: ReplicaWitness, seqno: number, fingerprint: number): void {
    if (seqno > this.committedEnd) this.violate("restored a state that nobody has committed", witness.replica, seqno);
    else if (this.committedFingerprints[seqno] !== fingerprint)
      this.violate("restored another state than the committed one", witness.replica, seqno);
  }

  /**
   * At the end of a run: compares whole logs (of each replica what it still has), looks for requests executed
   * twice or out of a session's order, replays. Marks in `history` where operations with unknown outcome were committed.
   * `idOffset`: id - history index. `states`: what the machines hold that have executed all, by replica.
   */
  finish(history: History, idOffset: number, orderedClients: ReadonlySet<number>, states: (Uint8Array | undefined)[]): void {
    const end = this.committedEnd;
    const rows = this.committedRows.subarray(0, 48 * end);
    for (const witness of this.replicas) {
      // A spare place may never have had one.
      const own = witness?.view();
      if (witness === undefined || own === undefined) continue;
      const ownEnd = witness.committedSeqno;
      const base = own.logBase();
      if (ownEnd > base && Buffer.compare(rows.subarray(48 * base, 48 * ownEnd), own.suffixRows(base + 1, ownEnd)) !== 0) {
        this.violate("its committed log differs from what was committed first", witness.replica, ownEnd);
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
    this.replay(history, idOffset, end, states);
  }

  /** An ordered session's operations take effect in the order of their invocation, none before its predecessor. */
  private checkOrder(history: History, idOffset: number, orderedClients: ReadonlySet<number>, end: number): void {
    const issued = new Map<number, number[]>();
    for (const client of orderedClients) issued.set(client, []);
    for (let index = 0; index < history.count; index++)
      if (history.unlogged[index] === 0) issued.get(history.client[index]!)?.push(index + idOffset);
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

  private replay(history: History, idOffset: number, end: number, states: (Uint8Array | undefined)[]): void {
    const machine = new ModelMachine();
    const bytes = Buffer.alloc(OPERATION_BYTES);
    const operation = { kind: 0 as Kind, object: 0, client: 0, id: 0, argument: 0, expected: 0 };
    for (let seqno = 1; seqno <= end; seqno++) {
      this.reads.replayed(seqno - 1, machine);
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
        const executed = this.adversaries.get(seqno);
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
    this.reads.replayed(end, machine);
    this.reads.finish();
    const expected = machine.state();
    states.forEach((state, replica) => {
      if (state !== undefined && Buffer.compare(state, expected) !== 0)
        this.violate("the machine's state differs from a replay of the committed history", replica, end);
    });
  }
}
