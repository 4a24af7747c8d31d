/**
 * What clients and machine say to each other: the simulator's operations (src/sim/operation.ts) with ids that name client and
 * number, results that also tell the seqno, and one operation more that reads the machine's table of executions.
 */
import { RESULT_BYTES, readI32 } from "../../dist/sim/operation.js";

/** Operations a client can number. */
export const maxOperationsOfClient = 1 << 22;
/** Ids are positive 32-bit integers. */
export const maxClients = 256;

export function idOf(client: number, number: number): number {
  return client * maxOperationsOfClient + number;
}
export function clientOfId(id: number): number {
  return Math.floor(id / maxOperationsOfClient);
}
export function numberOfId(id: number): number {
  return id & (maxOperationsOfClient - 1);
}

/** The simulator's result (status, value i32), then the seqno u32 at which the machine executed the operation. */
export const resultBytes = RESULT_BYTES + 4;

export function decodeResult(result: Buffer): { value: number; seqno: number } {
  if (result.length !== resultBytes || result[0] !== 0) throw new Error(`a result of ${result.length} bytes, status ${result[0]}`);
  return { value: readI32(result, 1), seqno: result.readUInt32LE(RESULT_BYTES) };
}

/** Reads from the table of executions: kind, client u8, first number u32, how many u32. */
export const executionsKind = 32;
/** Its result: operations that came twice u32, the table's length u32, then seqnos u32. */
export const executionsHeadBytes = 8;
export const executionsPerRead = 8192;

export function encodeExecutionsRead(client: number, from: number): Buffer {
  const operation = Buffer.alloc(10);
  operation[0] = executionsKind;
  operation[1] = client;
  operation.writeUInt32LE(from, 2);
  operation.writeUInt32LE(executionsPerRead, 6);
  return operation;
}

export function decodeExecutions(result: Buffer): { twice: number; length: number; seqnos: Uint32Array } {
  const bytes = Uint8Array.from(result.subarray(executionsHeadBytes));
  return { twice: result.readUInt32LE(0), length: result.readUInt32LE(4), seqnos: new Uint32Array(bytes.buffer) };
}
