import type { OperationContext } from "squall";

export interface CellMachine {
  /** How many were asked. */
  queries: number;
  speculativelyExecute(seqno: number, operation: Buffer): undefined;
  rollback(fromSeqno: number, toSeqno: number, operations: Buffer[], seqnos: number[]): void;
  query(operation: Buffer, context: OperationContext): Uint8Array | undefined;
  snapshot(): Buffer;
}
export function cellMachine(): CellMachine;
export default cellMachine;
