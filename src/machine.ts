/** Clock and randomness of an operation, derived from the request and the log: equal at every replica. */
export interface OperationContext {
  /** Logical time in ms since 1970; never runs backwards along the log. */
  readonly timeMs: number;
  /** A number in [0, 1) from a stream seeded by the entry's summary hash position; equal at every replica. */
  random(): number;
}

/** A state machine (Figure 6 of the paper, plus digest, snapshot and restore). It must be deterministic and synchronous. */
export interface Machine {
  /**
   * Executes the operation at `seqno`, returns its result. `operation` is valid only during the call unless `copy: true`.
   * One that throws must leave the state as it was: it is not rolled back.
   */
  speculativelyExecute(seqno: number, operation: Buffer, context: OperationContext): Uint8Array | undefined | void;
  /**
   * Undoes the operations at toSeqno < seqno <= fromSeqno; afterwards the state is that of toSeqno.
   * `operations[i]` was executed at `seqnos[i]`, newest first; entries that never reached the machine are not among them.
   */
  rollback(fromSeqno: number, toSeqno: number, operations: Buffer[], seqnos: number[]): void;
  /**
   * Answers a read (`client.read`) from the present state, which it must not change; what it throws goes to the client alone.
   * Equal states must give equal answers. `operation` is valid only during the call unless `copy: true`.
   */
  query?(operation: Buffer, context: OperationContext): Uint8Array | undefined | void;
  /** Nothing at or below `seqno` will be rolled back any more. */
  commit?(seqno: number): void;
  /** A digest of the state: equal states, equal bytes. Default: SHA-256 of snapshot(). */
  digest?(): Uint8Array;
  /**
   * The state after the operations executed so far, as bytes: equal states, equal bytes. They belong to the library from then on. A large
   * state may come in chunks: an iterable is pulled a few chunks at a time while other operations execute, and must show the state
   * as it was at the call, whatever changes meanwhile.
   */
  snapshot?(): Uint8Array | Iterable<Uint8Array>;
  /** Replaces the state by one that snapshot() gave, in one piece. */
  restore?(snapshot: Uint8Array): void;
  /** Hand out copies of operations that may be kept. */
  copy?: boolean;
}

/** Marks an object as a machine and checks its shape; the usual default export of a machine module. */
export type MachineFactory = () => Machine;
