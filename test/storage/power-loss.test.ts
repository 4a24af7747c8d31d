import { describe, expect, it } from "vitest";
import type { ReplicaStorage } from "../../src/data/storage/storage.js";
import { Bench, differenceFrom, type Model, rows, snapshotOf } from "./support.js";

const Seeds = 50;
const Lives = 6;

/** Random operations on one storage, and every state that a crash may leave. */
class Run {
  private readonly bench: Bench;
  /** Whole steps of the program: between two, storage takes no commit. The last one is the present. */
  private versions: Model[] = [{ state: undefined, rows: [] }];
  /** Index of the newest version known to be on disk. */
  private acknowledged = 0;
  private acknowledgedSnapshot = 0;
  /** Rows at or below it are committed: never replaced. */
  private committed = 0;
  private rowNumber = 0;
  commits = 0;
  torn = 0;
  full = 0;

  constructor(private readonly seed: number) {
    this.bench = new Bench(seed);
  }

  run(): void {
    for (let life = 0; life < Lives; life++) {
      this.live(life);
      if (this.bench.prng.chance(0.5)) this.bench.disk.powerLoss();
      else this.bench.disk.processLoss();
    }
    const { storage } = this.reopen(Lives);
    this.bench.close(storage);
  }

  private live(life: number): void {
    const { storage } = this.reopen(life);
    const { prng } = this.bench;
    const { disk } = this.bench;
    if (prng.chance(0.2)) disk.capacityBytes = disk.files().reduce((sum, { bytes }) => sum + bytes, 0) + prng.below(400_000);
    for (let left = prng.between(5, 60); left > 0 && storage.failure === undefined; left--) {
      this.change(storage);
      if (prng.chance(0.6)) this.flush(storage);
      if (prng.chance(0.05)) storage.mark((error) => void this.isFull(error));
      if (prng.chance(0.08)) this.checkpoint(storage);
      if (prng.chance(0.04)) this.installation(storage);
      for (let events = prng.below(4); events > 0; events--) this.bench.time.step();
    }
    // Mostly in the middle of a commit.
    this.change(storage);
    this.flush(storage);
    this.full += storage.failure === undefined ? 0 : 1;
    for (let events = prng.below(4); events > 0; events--) this.bench.time.step();
  }

  private isFull(error: Error | undefined): boolean {
    if (error !== undefined && (error as { code?: string }).code !== "STORAGE_FULL") throw error;
    return error !== undefined;
  }

  private get present(): Model {
    return this.versions.at(-1)!;
  }

  private change(storage: ReplicaStorage): void {
    const { prng } = this.bench;
    let model = this.present;
    for (let parts = prng.between(1, 3); parts > 0; parts--) {
      if (prng.chance(0.25)) {
        const state = `state ${this.seed} ${this.versions.length} ${parts}`;
        storage.setState(Buffer.from(state));
        model = { ...model, state };
        continue;
      }
      const replaced = prng.chance(0.2) ? prng.below(Math.min(10, model.rows.length - this.committed) + 1) : 0;
      const kept = model.rows.slice(0, model.rows.length - replaced);
      const added = Array.from({ length: prng.below(12) }, () => this.row());
      storage.append(kept.length + 1, rows(...added));
      model = { ...model, rows: [...kept, ...added] };
    }
    this.versions.push(model);
  }

  private row(): string {
    const { prng } = this.bench;
    return `${this.rowNumber++} ${"r".repeat(prng.chance(0.002) ? 60_000 : prng.below(200))}`;
  }

  private flush(storage: ReplicaStorage): void {
    const version = this.versions.length - 1;
    storage.flush((error) => {
      if (this.isFull(error)) return;
      this.acknowledged = Math.max(this.acknowledged, version);
      this.commits++;
    });
  }

  private checkpoint(storage: ReplicaStorage): void {
    const seqno = this.bench.prng.between(this.committed, this.present.rows.length);
    if (seqno === 0) return;
    this.committed = seqno;
    const bytes = snapshotOf(this.present, seqno);
    storage.writeSnapshot(seqno, [bytes.subarray(0, 100), bytes.subarray(100)], { install: false }, (error) => {
      if (this.isFull(error)) return;
      this.acknowledgedSnapshot = Math.max(this.acknowledgedSnapshot, seqno);
    });
  }

  /** A snapshot of another replica takes the place of the log, in one step with rows behind it and a state. */
  private installation(storage: ReplicaStorage): void {
    const { prng } = this.bench;
    const kept = this.present.rows.slice(0, this.committed);
    const base = [...kept, ...Array.from({ length: prng.between(1, 30) }, () => this.row())];
    const bytes = snapshotOf({ rows: base }, base.length);
    const error = this.bench.time.wait<Error | undefined>((done) =>
      storage.writeSnapshot(base.length, [bytes], { install: true }, (failure) => done(undefined, failure)),
    );
    if (this.isFull(error)) return;
    const added = Array.from({ length: prng.below(5) }, () => this.row());
    const state = `installed ${this.rowNumber}`;
    storage.installSnapshot(base.length);
    storage.append(base.length + 1, rows(...added));
    storage.setState(Buffer.from(state));
    this.committed = base.length;
    this.versions.push({ state, rows: [...base, ...added] });
  }

  private reopen(life: number): { storage: ReplicaStorage } {
    const { prng, disk } = this.bench;
    disk.capacityBytes = Number.POSITIVE_INFINITY;
    while (prng.chance(0.3)) this.bench.openInterrupted(prng.below(40), prng.chance(0.5));
    const { storage, recovered } = this.bench.open();
    const snapshot = this.bench.readSnapshot(storage);
    const candidates = this.versions.slice(this.acknowledged);
    const differences = candidates.map((model) => differenceFrom(model, recovered, snapshot));
    const index = differences.indexOf(undefined);
    expect(index, `seed ${this.seed}, life ${life}: ${differences[0]} (acknowledged), ${differences.at(-1)} (last)`).not.toBe(-1);
    expect(recovered.snapshot?.seqno ?? 0).toBeGreaterThanOrEqual(this.acknowledgedSnapshot);
    if (recovered.tornBytes > 0) this.torn++;
    this.versions = [candidates[index]!];
    this.acknowledged = 0;
    this.committed = recovered.snapshot?.seqno ?? 0;
    this.acknowledgedSnapshot = this.committed;
    return { storage };
  }
}

describe("after a loss of power or of the process", () => {
  it(`everything flushed is there, in whole commits, and nothing else: ${Seeds} seeds of ${Lives} lives`, () => {
    let commits = 0;
    let torn = 0;
    let full = 0;
    for (let seed = 1; seed <= Seeds; seed++) {
      const run = new Run(seed);
      run.run();
      commits += run.commits;
      torn += run.torn;
      full += run.full;
    }
    // The runs did what they are for.
    expect(commits).toBeGreaterThan(1_000);
    expect(torn).toBeGreaterThan(50);
    expect(full).toBeGreaterThan(10);
  }, 120_000);
});
