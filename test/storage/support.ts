/** A storage on the simulated disk, in virtual time, and a model of what it must hold. */
import { createHash } from "node:crypto";
import { type Recovered, rowsOf } from "../../src/data/storage/recovered.js";
import { type OpenedStorage, ReplicaStorage, type StorageOptions } from "../../src/data/storage/storage.js";
import { SimulatedDisk } from "../../src/sim/disk.js";
import { Prng } from "../../src/sim/prng.js";

export class VirtualTime {
  private nowUs = 0;
  private readonly queue: { atUs: number; run: () => void }[] = [];

  readonly after = (delayUs: number, run: () => void): void => {
    const atUs = this.nowUs + delayUs;
    const index = this.queue.findIndex((event) => event.atUs > atUs);
    this.queue.splice(index === -1 ? this.queue.length : index, 0, { atUs, run });
  };

  /** The next event; false: there is none. */
  step(): boolean {
    const next = this.queue.shift();
    if (next === undefined) return false;
    this.nowUs = next.atUs;
    next.run();
    return true;
  }

  /** Runs until `done` was called; what it was called with. */
  wait<T>(start: (done: (error: Error | undefined, value: T) => void) => void): T {
    let outcome: { error: Error | undefined; value: T } | undefined;
    start((error, value) => {
      outcome = { error, value };
    });
    while (outcome === undefined) if (!this.step()) throw new Error("nothing is under way, and it never ended");
    if (outcome.error !== undefined) throw outcome.error;
    return outcome.value;
  }
}

export const options: StorageOptions = {
  identity: { cluster: Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8), replica: 2 },
  segmentBytes: 48 * 1024,
  bufferBytes: 64 * 1024,
};

/** A disk with its own time. */
export class Bench {
  readonly time = new VirtualTime();
  readonly prng: Prng;
  readonly disk: SimulatedDisk;

  constructor(seed: number) {
    this.prng = new Prng(seed, "storage");
    this.disk = new SimulatedDisk({ prng: this.prng.split("disk"), after: this.time.after });
  }

  open(changes: Partial<StorageOptions> = {}): OpenedStorage {
    return this.time.wait((done) => ReplicaStorage.openWith(this.disk, { ...options, ...changes }, done));
  }

  /** Begins to open it, and loses the process or the power after that many events. */
  openInterrupted(events: number, power: boolean, changes: Partial<StorageOptions> = {}): void {
    ReplicaStorage.openWith(this.disk, { ...options, ...changes }, () => undefined);
    for (let left = events; left > 0; left--) this.time.step();
    if (power) this.disk.powerLoss();
    else this.disk.processLoss();
  }

  flush(storage: ReplicaStorage): void {
    this.time.wait((done) => storage.flush((error) => done(error, undefined)));
  }

  close(storage: ReplicaStorage): void {
    this.time.wait((done) => storage.close((error) => done(error, undefined)));
  }

  snapshot(storage: ReplicaStorage, seqno: number, chunks: Iterable<Uint8Array>, install: boolean): void {
    this.time.wait((done) => storage.writeSnapshot(seqno, chunks, { install }, (error) => done(error, undefined)));
  }

  readSnapshot(storage: ReplicaStorage): Buffer {
    const chunks: Buffer[] = [];
    this.time.wait((done) =>
      storage.readSnapshot(
        (chunk) => chunks.push(Buffer.from(chunk)),
        (error) => done(error, undefined),
      ),
    );
    return Buffer.concat(chunks);
  }

  /** Code of the error that opening ends with; undefined: it opens. */
  openingError(changes: Partial<StorageOptions> = {}): string | undefined {
    try {
      this.open(changes);
      return undefined;
    } catch (error) {
      return (error as { code?: string }).code ?? String(error);
    }
  }
}

export function rows(...texts: string[]): Buffer {
  return Buffer.concat(
    texts.map((text) => {
      const row = Buffer.alloc(4 + text.length);
      row.writeUInt32LE(text.length);
      row.write(text, 4);
      return row;
    }),
  );
}

export function textsOf(recovered: Recovered): string[] {
  return recovered.entries.chunks.flatMap((chunk) => [...rowsOf(chunk)].map((row) => Buffer.from(row).toString()));
}

/** What the storage holds: all rows since the beginning, also those that a snapshot stands for. */
export interface Model {
  readonly state: string | undefined;
  readonly rows: readonly string[];
}

/** The snapshot at `seqno` of a log. Long, so that it has several parts. */
export function snapshotOf(model: Pick<Model, "rows">, seqno: number): Buffer {
  const digest = createHash("sha256").update(model.rows.slice(0, seqno).join("\n")).digest("hex");
  return Buffer.from(`${seqno} ${digest} ${"s".repeat(1000 + (seqno % 10 === 0 ? 300_000 : seqno % 1000))}`);
}

/** Why what was recovered is not this model; undefined: it is. */
export function differenceFrom(model: Model, recovered: Recovered, snapshot: Buffer): string | undefined {
  const state = recovered.state && Buffer.from(recovered.state).toString();
  if (state !== model.state) return `state ${state}, not ${model.state}`;
  const { first, end } = recovered.entries;
  if (end !== model.rows.length) return `ends at ${end}, not ${model.rows.length}`;
  const seqno = recovered.snapshot?.seqno ?? 0;
  if (first !== seqno + 1) return `rows from ${first}, snapshot at ${seqno}`;
  if (recovered.snapshot !== undefined && !snapshot.equals(snapshotOf(model, seqno))) return `another snapshot at ${seqno}`;
  const texts = textsOf(recovered);
  const index = texts.findIndex((text, at) => text !== model.rows[seqno + at]);
  if (index !== -1 || texts.length !== end - seqno) return `row ${seqno + 1 + index} differs, or ${texts.length} are there`;
  return undefined;
}
