/**
 * What reads are held against, outside the system:
 *  - any answer that a client takes was given to this very read by some replica's machine;
 *  - the answer to a linearizable read or one of a session is the state of the committed history at the seqno it names;
 *  - such a read names no earlier seqno than its client had seen when it was issued.
 * Whether linearizable reads respect real time among all clients is for the linearizability checker.
 */
import { Consistency } from "../data/binding.js";
import type { Kind } from "./history.js";
import type { ModelMachine } from "./model-machine.js";
import { encodeOperation, OPERATION_BYTES, readResult } from "./operation.js";

/** Ids of reads that are not in the history of linearizable operations begin here. */
const FIRST_ID = 2 ** 30;

export interface AcceptedRead {
  id: number;
  consistency: Consistency;
  kind: Kind;
  object: number;
  /** What the client had seen when the read was issued. */
  leastSeqno: number;
  seqno: number;
  value: number;
}

export class ReadOracle {
  private ids = FIRST_ID;
  private readonly answers = new Set<string>();
  private readonly bySeqno = new Map<number, AcceptedRead[]>();
  private readonly bytes = Buffer.alloc(OPERATION_BYTES);

  constructor(private readonly violate: (what: string, replica?: number, seqno?: number) => void) {}

  nextId(): number {
    return this.ids++;
  }

  /** A replica's machine was asked. */
  answered(id: number, value: number): void {
    this.answers.add(`${id} ${value}`);
  }

  /** A client took this answer. */
  accepted(read: AcceptedRead): void {
    const { id, value, seqno, leastSeqno } = read;
    if (!this.answers.has(`${id} ${value}`)) this.violate(`read ${id} is answered with ${value}, which no machine said`, undefined, seqno);
    if (read.consistency === Consistency.Stale) return;
    if (seqno < leastSeqno) this.violate(`read ${id} shows seqno ${seqno}, its client had seen ${leastSeqno}`, undefined, seqno);
    const others = this.bySeqno.get(seqno);
    if (others) others.push(read);
    else this.bySeqno.set(seqno, [read]);
  }

  /** The replay of the committed history stands at `seqno`. */
  replayed(seqno: number, machine: ModelMachine): void {
    for (const { id, kind, object, value } of this.bySeqno.get(seqno) ?? []) {
      encodeOperation(this.bytes, { kind, object, client: 0, id: 0, argument: 0, expected: 0 });
      const expected = readResult(machine.query(this.bytes));
      if (value !== expected)
        this.violate(`read ${id} is answered with ${value} where the committed history has ${expected}`, undefined, seqno);
    }
    this.bySeqno.delete(seqno);
  }

  /** The replay is over: what is left names seqnos that were never committed. */
  finish(): void {
    for (const [seqno, [read]] of this.bySeqno) this.violate(`read ${read!.id} shows what was never committed`, undefined, seqno);
  }
}
