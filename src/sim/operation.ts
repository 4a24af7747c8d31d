/**
 * The simulated operations on the wire. Layout, little-endian:
 *   0 kind (Kind)   1 object   2 client u16   4 operation id u32   8 expected i32   12 argument i32   16 padding
 * The id is unique in a run, so that the oracles can tell which request an executed operation came from without asking
 * the system. Results: status u8 (OK or INVALID), then value i32.
 */
import { EMPTY, type Kind } from "./history.js";

export const OPERATION_BYTES = 16;
export const RESULT_BYTES = 5;
export const ResultCode = { Ok: 0, Invalid: 1 } as const;

/** Objects of each type that the workload shares; the adversarial clients own one more of each. */
export const SHARED_OBJECTS = 4;
export const ADVERSARY_OBJECT = SHARED_OBJECTS;
export const OBJECTS_PER_TYPE = SHARED_OBJECTS + 1;

export interface Operation {
  kind: Kind;
  object: number;
  client: number;
  id: number;
  argument: number;
  expected: number;
}

/** Writes `operation` to the start of `target`; what lies behind it stays (padding). */
export function encodeOperation(target: Uint8Array, operation: Operation): void {
  target[0] = operation.kind;
  target[1] = operation.object;
  target[2] = operation.client & 255;
  target[3] = operation.client >>> 8;
  writeI32(target, 4, operation.id);
  writeI32(target, 8, operation.expected);
  writeI32(target, 12, operation.argument);
}

export function readI32(bytes: Uint8Array, offset: number): number {
  return bytes[offset]! | (bytes[offset + 1]! << 8) | (bytes[offset + 2]! << 16) | (bytes[offset + 3]! << 24);
}

export function writeI32(bytes: Uint8Array, offset: number, value: number): void {
  bytes[offset] = value & 255;
  bytes[offset + 1] = (value >>> 8) & 255;
  bytes[offset + 2] = (value >>> 16) & 255;
  bytes[offset + 3] = value >>> 24;
}

/** The value of a result; undefined for one that is malformed or says that the operation was. */
export function readResult(result: Uint8Array): number | undefined {
  return result.length === RESULT_BYTES && result[0] === ResultCode.Ok ? readI32(result, 1) : undefined;
}

export { EMPTY };
