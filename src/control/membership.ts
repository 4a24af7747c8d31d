/**
 * Configurations and epochs: the entry that ends an epoch, what the next one begins with, and who is who in both. Pure.
 */
import type { NativeAddress } from "../data/binding.js";

export const MaxMembers = 9;
/** View numbers never restart: those of epoch e begin at e times this, so that no view of an earlier epoch is among them. */
export const ViewsPerEpoch = 1e10;
const LargestConfigurationBytes = 8192;
const RecordBytes = 40;
const ReconfigureFlag = 8;
const HexBootId = /^[0-9a-f]{32}$/;

export interface Member {
  address: NativeAddress;
  /** Its index in the epoch before; undefined: it joins. */
  from?: number;
  /** Of one that joins: the very process, in hexadecimal. Another one at its address has lost a memory. */
  bootId?: string;
}

export interface Configuration {
  epoch: number;
  members: Member[];
  /** Addresses of those that were members of the epoch before and are no more. */
  leaving: NativeAddress[];
}

export function encodeConfiguration(configuration: Configuration): Uint8Array {
  return Buffer.from(JSON.stringify(configuration));
}

/** undefined for anything that is not one well-formed configuration. */
export function decodeConfiguration(bytes: Uint8Array): Configuration | undefined {
  if (bytes.length > LargestConfigurationBytes) return undefined;
  try {
    return checked(1, JSON.parse(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("utf8")));
  } catch {
    return undefined;
  }
}

/** The same for one that came inside of another message. */
export function checkedConfiguration(value: unknown): Configuration | undefined {
  return typeof value === "object" && value !== null ? checked(1, value as Configuration) : undefined;
}

function checked(leastEpoch: number, value: Configuration): Configuration | undefined {
  const { epoch, members, leaving } = value;
  if (!Number.isInteger(epoch) || epoch < leastEpoch || epoch * ViewsPerEpoch >= Number.MAX_SAFE_INTEGER) return undefined;
  if (!Array.isArray(members) || members.length === 0 || members.length > MaxMembers || members.length % 2 === 0) return undefined;
  if (!Array.isArray(leaving) || leaving.length > MaxMembers || !leaving.every(isAddress)) return undefined;
  const former = new Set<number>();
  for (const { address, from, bootId } of members) {
    if (!isAddress(address) || (from === undefined) === (bootId === undefined)) return undefined;
    if (bootId !== undefined && (typeof bootId !== "string" || !HexBootId.test(bootId))) return undefined;
    if (from === undefined) continue;
    if (!Number.isInteger(from) || from < 0 || from >= MaxMembers || former.has(from)) return undefined;
    former.add(from);
  }
  return former.size > 0 ? { epoch, members, leaving } : undefined;
}

function isAddress(address: unknown): address is NativeAddress {
  if (typeof address !== "object" || address === null) return false;
  const { ip, port, loop } = address as { ip?: unknown; port?: unknown; loop?: unknown };
  const isPort = (value: unknown): boolean => Number.isInteger(value) && (value as number) >= 0 && (value as number) <= 65_535;
  return isPort(loop) || (typeof ip === "string" && ip.length <= 64 && isPort(port));
}

export function sameAddress(a: NativeAddress, b: NativeAddress): boolean {
  if ("loop" in a || "loop" in b) return "loop" in a && "loop" in b && a.loop === b.loop;
  return a.ip === b.ip && a.port === b.port;
}

export function portOf(address: NativeAddress): number {
  return "loop" in address ? address.loop : address.port;
}

export function formatAddress(address: NativeAddress): string {
  if ("loop" in address) return `loop:${address.loop}`;
  return address.ip.includes(":") ? `[${address.ip}]:${address.port}` : `${address.ip}:${address.port}`;
}

/** The log's record of the entry that ends the epoch before `configuration`'s. */
export function reconfigurationRecord(configuration: Uint8Array, epoch: number): Uint8Array {
  const record = Buffer.alloc(RecordBytes + configuration.length);
  record.writeBigUInt64LE(BigInt(epoch), 8);
  record.writeUInt32LE(ReconfigureFlag, 32);
  record.writeUInt32LE(configuration.length, 36);
  record.set(configuration, RecordBytes);
  return record;
}

/** The configuration in a log's record; undefined: the record is a client's. */
export function configurationOf(record: Uint8Array): Configuration | undefined {
  return record.length >= RecordBytes && ((record[32] as number) & ReconfigureFlag) !== 0
    ? decodeConfiguration(record.subarray(RecordBytes))
    : undefined;
}

/** Session 0 and the epoch, as log rows name an operation. */
export function reconfigurationKey(epoch: number): string {
  const key = Buffer.alloc(16);
  key.writeBigUInt64LE(BigInt(epoch), 8);
  return key.toString("latin1");
}

/** The epoch's first view: the lowest whose leader was a member before, hence has the state. */
export function firstViewOf({ epoch, members }: Configuration): number {
  const lowest = epoch * ViewsPerEpoch;
  for (let view = lowest; view < lowest + members.length; view++) {
    if (members[view % members.length]?.from !== undefined) return view;
  }
  return lowest;
}

/** NEW-EPOCH: what a member tells a replica that it does not hear in its epoch; from one that is behind it is a question. */
export interface NewEpochMessage {
  /** The life in hexadecimal. */
  life: string;
  configuration: Configuration;
  /** The receiver's index there; -1: it is no member. */
  to: number;
  /** The entry with which the epoch before ended, and its summary hash in hexadecimal; 0 and zeros in epoch 0. */
  seqno: number;
  hash: string;
  /** Members known to hold the state of that entry. */
  holders: number;
}

export function encodeNewEpoch(message: NewEpochMessage): Uint8Array {
  return Buffer.from(JSON.stringify(message));
}

export function decodeNewEpoch(body: Uint8Array): NewEpochMessage | undefined {
  if (body.length > 2 * LargestConfigurationBytes) return undefined;
  try {
    const m = JSON.parse(Buffer.from(body.buffer, body.byteOffset, body.length).toString("utf8")) as NewEpochMessage;
    const configuration = checked(0, m.configuration);
    const whole = (value: number, least: number): boolean => Number.isSafeInteger(value) && value >= least;
    if (!configuration || !HexBootId.test(m.life) || !/^[0-9a-f]{64}$/.test(m.hash) || !whole(m.seqno, 0) || !whole(m.holders, 0))
      return undefined;
    return whole(m.to, -1) && m.to < configuration.members.length ? { ...m, configuration } : undefined;
  } catch {
    return undefined;
  }
}

/** Of a bit mask of members. */
export function countMembers(mask: number): number {
  let count = 0;
  for (let rest = mask; rest > 0; rest >>>= 1) count += rest & 1;
  return count;
}
