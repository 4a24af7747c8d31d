/** The file that says whose directory it is. Its coming into being, by a rename, is what makes a directory one of Squall's. */
import { createHash } from "node:crypto";
import { SquallError } from "../../errors.js";
import { FormatVersion, KeyBytes } from "./block.js";
import type { Disk, DiskFile } from "./disk.js";
import { type Steps, step } from "./steps.js";
import { corrupt } from "./storage-errors.js";

export const IdentityName = "identity.json";
/** There while a directory is made: what lies beside it and no identity is unfinished. */
export const UnfinishedName = "identity.json.new";
const MaxIdentityBytes = 4096;

export interface Identity {
  /** Hexadecimal. */
  readonly cluster: string;
  readonly replica: number;
  /** Of the checks of all blocks; secret, for clients choose bytes that come to lie in them. */
  readonly key: Uint8Array;
  /** How often it was repaired. */
  readonly repairs: number;
}

export function* readIdentity(disk: Disk): Steps<Identity> {
  const file = yield* step<DiskFile>((done) => disk.open(IdentityName, "open", done));
  const bytes = yield* step<Buffer>((done) => file.read(0, MaxIdentityBytes, done));
  yield* step((done) => file.close(done));
  return parse(bytes.toString());
}

/** Writes it as unfinished; finishIdentity() puts it in force. */
export function* writeIdentity(disk: Disk, identity: Identity): Steps<void> {
  const names = yield* step<string[]>((done) => disk.list(done));
  if (names.includes(UnfinishedName)) yield* step((done) => disk.remove(UnfinishedName, done));
  const file = yield* step<DiskFile>((done) => disk.open(UnfinishedName, "create", done));
  yield* step((done) => file.writeDurable(0, Buffer.from(format(identity)), done));
  yield* step((done) => file.close(done));
  yield* step((done) => disk.syncDirectory(done));
}

export function* finishIdentity(disk: Disk): Steps<void> {
  yield* step((done) => disk.rename(UnfinishedName, IdentityName, done));
  yield* step((done) => disk.syncDirectory(done));
}

function format(identity: Identity): string {
  const { cluster, replica, repairs } = identity;
  const body = { format: FormatVersion, cluster, replica, repairs, key: Buffer.from(identity.key).toString("hex") };
  return `${JSON.stringify({ ...body, check: checkOf(body) }, null, 2)}\n`;
}

function checkOf(body: Record<string, unknown>): string {
  return createHash("sha256").update(JSON.stringify(body)).digest("hex").slice(0, 32);
}

function parse(text: string): Identity {
  let fields: Record<string, unknown>;
  try {
    fields = JSON.parse(text) as Record<string, unknown>;
  } catch {
    throw corrupt(`${IdentityName} is no JSON`);
  }
  if (typeof fields !== "object" || fields === null) throw corrupt(`${IdentityName} is no object`);
  const { check, ...body } = fields;
  // The same in every format: or bit rot could pass for a newer one.
  if (check !== checkOf(body)) throw corrupt(`${IdentityName} does not match its check`);
  const { format, cluster, replica, repairs, key } = body;
  if (typeof format === "number" && format > FormatVersion)
    throw new SquallError(
      "STORAGE_VERSION",
      `the data directory has format ${format}, and this release knows up to ${FormatVersion}: install the release that wrote it`,
    );
  const keyBytes = Buffer.from(String(key), "hex");
  if (keyBytes.length !== KeyBytes || typeof cluster !== "string" || typeof replica !== "number" || typeof repairs !== "number")
    throw corrupt(`${IdentityName} lacks a field`);
  return { cluster, replica, key: keyBytes, repairs };
}
