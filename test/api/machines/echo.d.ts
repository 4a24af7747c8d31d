import type { OperationContext } from "squall";

export interface EchoMachine {
  /** "seqno operation" of all operations that stand. */
  log: string[];
  committed: number;
  speculativelyExecute(seqno: number, operation: Buffer, context: OperationContext): Uint8Array | undefined;
  rollback(fromSeqno: number, toSeqno: number, operations: Buffer[], seqnos: number[]): void;
  commit(seqno: number): void;
  snapshot(): Buffer;
}
export function echoMachine(): EchoMachine;
export default echoMachine;
