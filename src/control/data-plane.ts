/** What the control plane asks of the data plane: few verbs, all synchronous. The native engine and the tests implement it. */
export interface DataPlane {
  readonly view: number;
  readonly lastNormalView: number; // v_l
  readonly status: number; // ReplicaStatus
  readonly mode: number;
  readonly logEnd: number;
  readonly committed: number;
  hashAt(seqno: number): Uint8Array; // 32 bytes; zeros at 0
  /** 48 bytes an entry for [from, to]: summary hash 32, session 8, request number 8. */
  suffixRows(from: number, to: number): Uint8Array;
  record(seqno: number): Uint8Array;
  viewOf(seqno: number): number;
  summaryHash(previous: Uint8Array, record: Uint8Array): Uint8Array;
  freeze(view: number): void;
  /** Rolls the machine back above keepTo, then installs (see NativeReplicaEngine.install). */
  install(view: number, mode: number, keepTo: number, records: Uint8Array[]): void;
  /** Commits, with the machine's commit upcall. */
  commitTo(seqno: number): void;
  answer(fromSeqno: number, toSeqno: number): void;
  send(to: number, type: number, body: Uint8Array): void; // to: replica index, -1: all others
  /** A broken invariant: the replica stops loudly. */
  fail(message: string): void;
  count(counter: "reconciliations" | "syncs"): void;
}
