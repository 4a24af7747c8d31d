/** The client's messages: its registration, and operations 1, 2, ... of one session, all outstanding at once. */

import { NowUs } from "./pacing.js";
import { clientId, sessionBytes } from "./replica.js";

const BodyBytes = 8;
const RecordBytes = 40;
const RegisterFlag = 1;

/** REQUEST with one record (native/wire/records.h). Request 0 registers the session. */
export function requestBody(request: number): Uint8Array {
  const registers = request === 0;
  const operation = registers ? Buffer.alloc(24) : Buffer.from(`op${request}`);
  if (registers) operation.writeBigUInt64LE(BigInt(clientId));
  const body = Buffer.alloc(BodyBytes + RecordBytes + operation.length);
  body.writeUInt16LE(1, 2);
  const record = body.subarray(BodyBytes);
  record.set(sessionBytes);
  record.writeBigUInt64LE(BigInt(request), 8);
  record.writeBigUInt64LE(registers ? 0n : 1n, 16);
  record.writeBigUInt64LE(BigInt(NowUs), 24);
  record.writeUInt32LE(registers ? RegisterFlag : 0, 32);
  record.writeUInt32LE(operation.length, 36);
  record.set(operation, RecordBytes);
  return body;
}
