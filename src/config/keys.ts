/** The cluster secret and clients' keys, read from their files. */
import { readFile, stat } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { SquallError } from "../errors.js";

export interface ClientKey {
  /** 8 bytes. */
  id: Uint8Array;
  /** 32 bytes. */
  key: Uint8Array;
}

/** 32 bytes from a file of 64 hex digits; warns when others than its owner may read it. Throws SECRET_MISSING, SECRET_INVALID. */
export async function readSecret(file: string): Promise<Uint8Array> {
  const text = (await readKeyFile(file, "The secret file", "Copy it from where `squall init` made it, or pass a client key.")).trim();
  if (!/^[0-9a-fA-F]{64}$/.test(text)) {
    throw new SquallError(
      "SECRET_INVALID",
      `The secret file ${file} must hold 64 hex digits (32 bytes); it holds ${text.length} characters. \`squall init\` makes one.`,
    );
  }
  await warnReadable(file);
  return Buffer.from(text, "hex");
}

/** A key made by `squall key issue`. Throws SECRET_MISSING, SECRET_INVALID, and WRONG_CLUSTER when it is another cluster's. */
export async function readClientKey(
  source: string | URL | { cluster: string; id: string; key: string },
  group: Uint8Array,
): Promise<ClientKey> {
  const file = source instanceof URL ? fileURLToPath(source) : typeof source === "string" ? source : undefined;
  const label = file === undefined ? "The client key" : `The client key ${file}`;
  const content =
    file === undefined
      ? (source as object)
      : parseKey(await readKeyFile(file, "The client key", "Make one with `squall key issue`."), label);
  const { cluster, id, key } = content as Record<string, unknown>;
  if (!isHex(cluster, 16) || !isHex(id, 16) || !isHex(key, 64)) {
    throw new SquallError(
      "SECRET_INVALID",
      `${label} must be { "cluster": 16 hex digits, "id": 16 hex digits, "key": 64 hex digits }. \`squall key issue\` makes one.`,
    );
  }
  const own = Buffer.from(group).toString("hex");
  if (cluster.toLowerCase() !== own) {
    throw new SquallError(
      "WRONG_CLUSTER",
      `${label} was issued for the cluster ${cluster}, not for ${own}. Issue one with \`squall key issue\`.`,
    );
  }
  if (file !== undefined) await warnReadable(file);
  return { id: Buffer.from(id, "hex"), key: Buffer.from(key, "hex") };
}

async function readKeyFile(file: string, what: string, advice: string): Promise<string> {
  try {
    return await readFile(file, "utf8");
  } catch (cause) {
    throw new SquallError("SECRET_MISSING", `${what} ${file} can't be read (${(cause as Error).message}). ${advice}`, { cause });
  }
}

function parseKey(text: string, label: string): object {
  try {
    const content: unknown = JSON.parse(text);
    if (typeof content === "object" && content !== null) return content;
  } catch {
    // reported below like any other text that is no key
  }
  throw new SquallError("SECRET_INVALID", `${label} is not a JSON object. Make one with \`squall key issue\`.`);
}

function isHex(value: unknown, digits: number): value is string {
  return typeof value === "string" && value.length === digits && /^[0-9a-fA-F]+$/.test(value);
}

async function warnReadable(file: string): Promise<void> {
  if (process.platform === "win32") return;
  const { mode } = await stat(file);
  if ((mode & 0o077) === 0) return;
  process.emitWarning(`${file} can be read by others than its owner; run \`chmod 600 ${file}\`.`, {
    type: "SquallWarning",
    code: "SQUALL_SECRET_READABLE",
  });
}
