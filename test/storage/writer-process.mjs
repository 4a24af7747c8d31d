/** Writes rows to a storage until it is killed; prints the end of the log each time that it is on disk. Arguments: directory. */
import { writeSync } from "node:fs";
import { loadBinding } from "../../dist/data/load.js";
import { FileDisk } from "../../dist/data/storage/file-disk.js";
import { ReplicaStorage } from "../../dist/data/storage/storage.js";

const identity = { cluster: new Uint8Array(8), replica: 0 };
const disk = new FileDisk(process.argv[2], loadBinding().lockFile);
const { storage } = await ReplicaStorage.open(disk, { identity, segmentBytes: 256 * 1024 });

const row = (seqno) => {
  const text = `row ${seqno} ${"r".repeat(seqno % 500)}`;
  const bytes = Buffer.alloc(4 + text.length);
  bytes.writeUInt32LE(text.length);
  bytes.write(text, 4);
  return bytes;
};

const next = () => {
  const first = storage.end + 1;
  storage.append(first, Buffer.concat(Array.from({ length: 1 + (first % 7) }, (_, i) => row(first + i))));
  storage.setState(Buffer.from(`end ${storage.end}`));
  const { end } = storage;
  storage.flush((error) => {
    if (error !== undefined) throw error;
    writeSync(1, `${end}\n`);
    next();
  });
  if (end % 5 === 0) storage.writeSnapshot(end, [Buffer.from(`state at ${end}`)], { install: false }, () => undefined);
};
next();
