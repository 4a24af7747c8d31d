/**
 * What clients saw: each operation's invocation and response as places in one order of events (virtual time with ties
 * broken by the order in which the simulation ran them). Columns of typed arrays: a run records without allocating.
 */

/** Operations of the models: a register (read, write, compare-and-set), a counter (add) and a FIFO queue. */
export const Kind = { Read: 1, Write: 2, CompareAndSet: 3, Add: 4, Enqueue: 5, Dequeue: 6 } as const;
export type Kind = (typeof Kind)[keyof typeof Kind];

export const ObjectType = { Register: 0, Counter: 1, Queue: 2 } as const;
export type ObjectType = (typeof ObjectType)[keyof typeof ObjectType];

/** The type of object that an operation works on, by Kind. */
export const typeOfKind: readonly ObjectType[] = [0, 0, 0, 0, ObjectType.Counter, ObjectType.Queue, ObjectType.Queue];

/** Result of a dequeue from an empty queue. Values of the models are non-negative. */
export const EMPTY = -1;
/** Response time of an operation whose outcome is unknown: it may take effect at any time after its invocation, or never. */
export const NEVER = Infinity;

/** Results: read: the value; write: 0; compare-and-set: 1 done, 0 not; add: the new value; enqueue: 0; dequeue: value or EMPTY. */
export class History {
  count = 0;
  readonly client: Uint16Array;
  readonly kind: Uint8Array;
  readonly object: Uint16Array;
  readonly argument: Int32Array;
  readonly expected: Int32Array;
  readonly result: Int32Array;
  readonly invokedAt: Float64Array;
  readonly respondedAt: Float64Array;
  /** Place in the order that the system claims (its sequence number; a read outside the log has that of the entry before it, + 0.5); 0: none. Only ever a hint to the checker. */
  readonly claimedSeqno: Float64Array;
  /** 1: a read outside the log, which is never committed. */
  readonly unlogged: Uint8Array;

  constructor(readonly capacity: number) {
    this.client = new Uint16Array(capacity);
    this.kind = new Uint8Array(capacity);
    this.object = new Uint16Array(capacity);
    this.argument = new Int32Array(capacity);
    this.expected = new Int32Array(capacity);
    this.result = new Int32Array(capacity);
    this.invokedAt = new Float64Array(capacity);
    this.respondedAt = new Float64Array(capacity).fill(NEVER);
    this.claimedSeqno = new Float64Array(capacity);
    this.unlogged = new Uint8Array(capacity);
  }

  /** Records an invocation; returns the operation's index. */
  invoke(client: number, kind: Kind, object: number, argument: number, expected: number, at: number): number {
    if (this.count === this.capacity) throw new RangeError("the history is full");
    const index = this.count++;
    this.client[index] = client;
    this.kind[index] = kind;
    this.object[index] = object;
    this.argument[index] = argument;
    this.expected[index] = expected;
    this.invokedAt[index] = at;
    this.respondedAt[index] = NEVER;
    this.claimedSeqno[index] = 0;
    this.unlogged[index] = 0;
    return index;
  }

  respond(index: number, result: number, at: number, claimedSeqno = 0): void {
    this.result[index] = result;
    this.respondedAt[index] = at;
    this.claimedSeqno[index] = claimedSeqno;
  }

  describe(index: number): string {
    const kind = this.kind[index]!,
      object = this.object[index]!,
      argument = this.argument[index]!;
    const name = ["?", "read", "write", "compareAndSet", "add", "enqueue", "dequeue"][kind];
    const operands =
      kind === Kind.Read || kind === Kind.Dequeue
        ? ""
        : kind === Kind.CompareAndSet
          ? `${this.expected[index]}, ${argument}`
          : `${argument}`;
    const type = ["register", "counter", "queue"][typeOfKind[kind]!];
    const known = this.respondedAt[index] !== NEVER;
    const outcome = known ? `= ${this.result[index] === EMPTY ? "empty" : this.result[index]}` : "= unknown";
    const seqno = this.claimedSeqno[index] ? ` seqno ${this.claimedSeqno[index]}` : "";
    return `client ${this.client[index]} ${type} ${object}.${name}(${operands}) ${outcome} [${this.invokedAt[index]}, ${this.respondedAt[index]}]${seqno}`;
  }
}
