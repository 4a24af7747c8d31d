/** Ways to make a batch of records durable: plain files, what Squall does, and embedded stores. */
import { constants, type PathLike } from "node:fs";
import { type FileHandle, mkdir, open } from "node:fs/promises";
import { join } from "node:path";
import { loadBinding } from "../../dist/data/load.js";
import { FileDisk } from "../../dist/data/storage/file-disk.js";
import { ReplicaStorage } from "../../dist/data/storage/storage.js";

export interface Engine {
  /** Resolves once the batch is on disk. */
  commit(first: number, records: readonly Uint8Array[]): Promise<void>;
  close(): Promise<void>;
}

export interface EngineKind {
  readonly name: string;
  open(directory: string): Promise<Engine>;
}

/** What a run may write: runs end before it. */
export const MaxBytes = 64 << 20;
const BlockBytes = 4096;
const zeros = Buffer.alloc(1 << 20);

async function openPlain(file: PathLike, options: { allocated: boolean; dsync: boolean }): Promise<FileHandle> {
  if (options.allocated) {
    const handle = await open(file, "w");
    for (let at = 0; at < MaxBytes; at += zeros.length) await handle.write(zeros, 0, zeros.length, at);
    await handle.sync();
    await handle.close();
  }
  return open(file, constants.O_RDWR | constants.O_CREAT | (options.dsync ? constants.O_DSYNC : 0));
}

/** One write of whole blocks of 4 KiB a batch, then fdatasync unless the file is O_DSYNC. */
function plain(name: string, options: { allocated: boolean; dsync: boolean }): EngineKind {
  return {
    name,
    async open(directory) {
      const handle = await openPlain(join(directory, "file"), options);
      let offset = 0;
      return {
        async commit(_first, records) {
          const bytes = records.reduce((sum, record) => sum + record.length, 0);
          const block = Buffer.alloc(Math.ceil(bytes / BlockBytes) * BlockBytes);
          let at = 0;
          for (const record of records) {
            block.set(record, at);
            at += record.length;
          }
          await handle.write(block, 0, block.length, offset);
          if (!options.dsync) await handle.datasync();
          offset += block.length;
        },
        close: () => handle.close(),
      };
    },
  };
}

const squall: EngineKind = {
  name: "squall",
  async open(directory) {
    const identity = { cluster: new Uint8Array(8), replica: 0 };
    const { storage } = await ReplicaStorage.open(new FileDisk(directory, loadBinding().lockFile), { identity });
    return {
      commit(first, records) {
        const rows = Buffer.allocUnsafe(records.reduce((sum, record) => sum + 4 + record.length, 0));
        let at = 0;
        for (const record of records) {
          rows.writeUInt32LE(record.length, at);
          rows.set(record, at + 4);
          at += 4 + record.length;
        }
        storage.append(first, rows);
        return new Promise((resolve, reject) => storage.flush((error) => (error === undefined ? resolve() : reject(error))));
      },
      close: () => new Promise((resolve, reject) => storage.close((error) => (error === undefined ? resolve() : reject(error)))),
    };
  },
};

function keyOf(seqno: number): Buffer {
  const key = Buffer.alloc(8);
  key.writeUInt32BE(Math.floor(seqno / 2 ** 32), 0);
  key.writeUInt32BE(seqno >>> 0, 4);
  return key;
}

const level: EngineKind = {
  name: "classic-level",
  async open(directory) {
    const { ClassicLevel } = await import("classic-level");
    const store = new ClassicLevel<Buffer, Uint8Array>(directory, { keyEncoding: "buffer", valueEncoding: "view" });
    await store.open();
    return {
      commit: (first, records) =>
        store.batch(
          records.map((value, i) => ({ type: "put" as const, key: keyOf(first + i), value })),
          { sync: true },
        ),
      close: () => store.close(),
    };
  },
};

const lmdb: EngineKind = {
  name: "lmdb",
  async open(directory) {
    const { open: openStore } = await import("lmdb");
    const store = openStore<Uint8Array, Buffer>({ path: join(directory, "lmdb"), encoding: "binary", keyEncoding: "binary" });
    return {
      async commit(first, records) {
        for (let i = 0; i < records.length; i++) void store.put(keyOf(first + i), records[i]!);
        await store.flushed;
      },
      close: () => store.close(),
    };
  },
};

const all: readonly EngineKind[] = [
  plain("fdatasync, growing", { allocated: false, dsync: false }),
  plain("fdatasync, allocated", { allocated: true, dsync: false }),
  plain("O_DSYNC, growing", { allocated: false, dsync: true }),
  plain("O_DSYNC, allocated", { allocated: true, dsync: true }),
  squall,
  level,
  lmdb,
];

/** All that are there: the stores are in a checkout only. */
export async function findEngines(): Promise<EngineKind[]> {
  const found: EngineKind[] = [];
  for (const kind of all) {
    if (kind === level || kind === lmdb) {
      try {
        await import(kind.name);
      } catch {
        console.error(`without ${kind.name}: the package is not installed`);
        continue;
      }
    }
    found.push(kind);
  }
  return found;
}

export async function openIn(kind: EngineKind, directory: string): Promise<Engine> {
  await mkdir(directory, { recursive: true });
  return kind.open(directory);
}
