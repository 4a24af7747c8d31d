import { createHash } from "node:crypto";
import { describe, expect, it } from "vitest";
import { ReplicaStorage } from "../../src/data/storage/storage.js";
import { SectorBytes } from "../../src/sim/disk.js";
import { Bench, differenceFrom, type Model, options, rows, snapshotOf, textsOf } from "./support.js";

/** Three commits, a snapshot, three more, in several segments; closed in order. */
function written(bench: Bench): Model {
  const { storage } = bench.open();
  const model = { state: "a state", rows: [] as string[] };
  const commit = () => {
    const added = Array.from({ length: 20 }, (_, i) => `row ${model.rows.length + i} ${"x".repeat(700)}`);
    storage.append(model.rows.length + 1, rows(...added));
    model.rows.push(...added);
    bench.flush(storage);
  };
  storage.setState(Buffer.from(model.state));
  for (let i = 0; i < 3; i++) commit();
  bench.snapshot(storage, 20, [snapshotOf(model, 20)], false);
  for (let i = 0; i < 3; i++) commit();
  bench.close(storage);
  return model;
}

function flush(bench: Bench, storage: ReplicaStorage): string | undefined {
  try {
    bench.flush(storage);
    return undefined;
  } catch (error) {
    return (error as { code: string }).code;
  }
}

const segmentsOf = (bench: Bench) => bench.disk.files().filter(({ name }) => name.startsWith("log-"));

describe("a directory", () => {
  it("that was closed in order says so, and comes back as it was", () => {
    const bench = new Bench(1);
    const model = written(bench);
    const { storage, recovered } = bench.open();
    expect(recovered.clean).toBe(true);
    expect(recovered.entries.first).toBe(21);
    expect(differenceFrom(model, recovered, bench.readSnapshot(storage))).toBeUndefined();
    bench.disk.processLoss();
    // Opening writes nothing: whoever dies without a commit leaves it as clean as it was.
    expect(bench.open().recovered.clean).toBe(true);
  });

  it("of another cluster or replica is refused, with repair too", () => {
    const bench = new Bench(2);
    written(bench);
    const { cluster } = options.identity;
    for (const repair of [false, true]) {
      expect(bench.openingError({ repair, identity: { cluster, replica: 3 } })).toBe("STORAGE_FOREIGN");
      expect(bench.openingError({ repair, identity: { cluster: new Uint8Array(8), replica: 2 } })).toBe("STORAGE_FOREIGN");
    }
    expect(bench.openingError()).toBeUndefined();
  });

  it("of a newer format is refused, with repair too", () => {
    const bench = new Bench(3);
    written(bench);
    const bytes = bench.disk.contents("identity.json");
    const { check, ...body } = JSON.parse(bytes.toString());
    const newer = { ...body, format: 2 };
    const itsCheck = createHash("sha256").update(JSON.stringify(newer)).digest("hex").slice(0, 32);
    bytes.write(bytes.toString().replace('"format": 1', '"format": 2').replace(check, itsCheck));
    expect(bench.openingError()).toBe("STORAGE_VERSION");
    expect(bench.openingError({ repair: true })).toBe("STORAGE_VERSION");
  });

  it("that is in use is refused", () => {
    const bench = new Bench(4);
    const { storage } = bench.open();
    expect(bench.openingError()).toBe("STORAGE_LOCKED");
    bench.close(storage);
    expect(bench.openingError()).toBeUndefined();
  });

  it.each(["log", "snapshot", "identity"])(
    "that lacks a file (%s) is refused, and opens with repair as one whose memory was lost",
    (kind) => {
      const bench = new Bench(5);
      written(bench);
      const name = bench.disk.files().find((file) => file.name.startsWith(kind))!.name;
      bench.time.wait((done) => bench.disk.remove(name, done));
      expect(bench.openingError()).toBe("STORAGE_CORRUPT");
      const { storage, recovered } = bench.open({ repair: true });
      expect(recovered).toMatchObject({ state: undefined, snapshot: undefined, repairs: 1, entries: { first: 1, end: 0 } });
      storage.append(1, rows("again"));
      bench.flush(storage);
      bench.disk.powerLoss();
      const again = bench.open();
      expect(textsOf(again.recovered)).toEqual(["again"]);
      expect(again.recovered.repairs).toBe(1);
    },
  );
});

it("a repair that is cut short leaves a damaged directory or a repaired one", () => {
  const outcomes = new Set<string>();
  for (let events = 1; events < 60; events++) {
    const bench = new Bench(100 + events);
    written(bench);
    bench.disk.rot(segmentsOf(bench)[0]!.name, 4096 + 50, 1);
    bench.openInterrupted(events, events % 3 > 0, { repair: true });
    const code = bench.openingError();
    outcomes.add(code ?? "opened");
    if (code !== undefined) expect(code).toBe("STORAGE_CORRUPT");
    bench.disk.processLoss();
    const { recovered } = bench.open({ repair: true });
    expect(recovered).toMatchObject({ state: undefined, snapshot: undefined, repairs: 1, entries: { first: 1, end: 0 } });
  }
  expect([...outcomes].sort()).toEqual(["STORAGE_CORRUPT", "opened"]);
});

describe("bit rot", () => {
  it("anywhere is refused, or harms nothing", () => {
    const outcomes = { refused: 0, harmless: 0 };
    for (let seed = 1; seed <= 80; seed++) {
      const bench = new Bench(1_000 + seed);
      const model = written(bench);
      const file = bench.prng.pick(bench.disk.files().filter(({ bytes }) => bytes > 0));
      bench.disk.rot(file.name, bench.prng.below(file.bytes), bench.prng.below(8));
      const code = bench.openingError();
      if (code !== undefined) {
        expect(code, `seed ${seed}, ${file.name}`).toBe("STORAGE_CORRUPT");
        outcomes.refused++;
        continue;
      }
      bench.disk.processLoss();
      const { storage, recovered } = bench.open();
      expect(differenceFrom(model, recovered, bench.readSnapshot(storage)), `seed ${seed}, ${file.name}`).toBeUndefined();
      outcomes.harmless++;
    }
    expect(outcomes.refused).toBeGreaterThan(10);
    expect(outcomes.harmless).toBeGreaterThan(10);
  });

  it("of the last commit is taken for a torn one, unless a mark stands behind it", () => {
    for (const marked of [false, true]) {
      const bench = new Bench(7);
      const { storage } = bench.open();
      for (const text of ["one", "two"]) {
        storage.append(storage.end + 1, rows(text));
        bench.flush(storage);
      }
      if (marked) bench.time.wait((done) => storage.mark((error) => done(error, undefined)));
      bench.disk.powerLoss();
      // Commits lie at multiples of 4,096; the first is the directory's.
      bench.disk.rot(segmentsOf(bench)[0]!.name, 2 * 4096 + 100, 3);
      if (marked) expect(bench.openingError()).toBe("STORAGE_CORRUPT");
      else {
        const { recovered } = bench.open();
        expect(textsOf(recovered)).toEqual(["one"]);
        expect(recovered.tornBytes).toBe(4096);
      }
    }
  });
});

describe("a torn commit", () => {
  it("is cut off whatever part of it is there, and can't be completed by a later one", () => {
    for (let lost = 1; lost < 8; lost++) {
      const bench = new Bench(8);
      let { storage } = bench.open();
      storage.append(1, rows("kept"));
      bench.flush(storage);
      storage.append(2, rows("y".repeat(3_900)));
      bench.flush(storage);
      bench.disk.powerLoss();
      const log = bench.disk.contents(segmentsOf(bench)[0]!.name);
      const sector = Buffer.from(log.subarray(2 * 4096 + lost * SectorBytes, 2 * 4096 + (lost + 1) * SectorBytes));
      log.fill(0, 2 * 4096 + lost * SectorBytes, 2 * 4096 + (lost + 1) * SectorBytes);
      const opened = bench.open();
      storage = opened.storage;
      expect(textsOf(opened.recovered)).toEqual(["kept"]);
      bench.disk.processLoss();
      sector.copy(log, 2 * 4096 + lost * SectorBytes);
      expect(textsOf(bench.open().recovered), `sector ${lost}`).toEqual(["kept"]);
    }
  });
});

describe("a failing disk", () => {
  it.each(["failNextWrite", "failNextSync"] as const)("%s: storage has failed for good, and so has the directory", (fault) => {
    const bench = new Bench(9);
    const { storage } = bench.open();
    storage.append(1, rows("one"));
    bench.flush(storage);
    bench.disk[fault] = true;
    storage.append(2, rows("two"));
    expect(flush(bench, storage)).toBe("STORAGE_FAILED");
    // A sync would succeed now, and nothing of it would be on disk.
    expect(flush(bench, storage)).toBe("STORAGE_FAILED");
    expect(storage.failure?.code).toBe("STORAGE_FAILED");
    while (bench.time.step());
    bench.disk.processLoss();
    expect(bench.openingError()).toBe("STORAGE_CORRUPT");
    expect(bench.open({ repair: true }).recovered.repairs).toBe(1);
  });

  it("that is full: storage stops, nothing acknowledged is lost, and it goes on once there is room", () => {
    const bench = new Bench(10);
    const { storage } = bench.open();
    bench.disk.capacityBytes = 130 * 1024;
    const flushed: string[] = [];
    let code: string | undefined;
    while (code === undefined) {
      const text = `row ${flushed.length} ${"z".repeat(5_000)}`;
      storage.append(storage.end + 1, rows(text));
      code = flush(bench, storage);
      if (code === undefined) flushed.push(text);
    }
    expect(code).toBe("STORAGE_FULL");
    bench.disk.processLoss();
    bench.disk.capacityBytes = Number.POSITIVE_INFINITY;
    const { storage: again, recovered } = bench.open();
    expect(textsOf(recovered).slice(0, flushed.length)).toEqual(flushed);
    again.append(again.end + 1, rows("more"));
    expect(flush(bench, again)).toBeUndefined();
  });

  it("with no room for a snapshot: the former one stays, and the log goes on", () => {
    const bench = new Bench(11);
    const model = written(bench);
    const { storage } = bench.open();
    bench.disk.capacityBytes = bench.disk.files().reduce((sum, { bytes }) => sum + bytes, 0) + 5_000;
    expect(() => bench.snapshot(storage, 60, [Buffer.alloc(300_000)], false)).toThrow(expect.objectContaining({ code: "STORAGE_FULL" }));
    storage.setState(Buffer.from("later"));
    expect(flush(bench, storage)).toBeUndefined();
    bench.disk.powerLoss();
    const { storage: again, recovered } = bench.open();
    expect(differenceFrom({ ...model, state: "later" }, recovered, bench.readSnapshot(again))).toBeUndefined();
  });
});

describe("misuse", () => {
  it("is refused before anything is buffered", () => {
    const bench = new Bench(12);
    written(bench);
    const { storage } = bench.open();
    const broken = expect.objectContaining({ code: "INVARIANT_BROKEN" });
    expect(() => storage.append(storage.end + 2, rows("gap"))).toThrow(broken);
    expect(() => storage.append(20, rows("below the snapshot"))).toThrow(broken);
    expect(() => storage.append(storage.end + 1, Buffer.from([200, 0, 0, 0, 1]))).toThrow(broken);
    expect(() => storage.installSnapshot(500)).toThrow(broken);
    expect(() => bench.snapshot(storage, storage.end + 1, [], false)).toThrow(broken);
    bench.close(storage);
    expect(bench.open().recovered.entries.end).toBe(120);
  });

  it("full tells when to hold back", () => {
    const bench = new Bench(13);
    const { storage } = bench.open();
    storage.append(1, rows("a".repeat(options.bufferBytes!)));
    expect(storage.full).toBe(true);
    bench.flush(storage);
    expect(storage.full).toBe(false);
  });
});

it("segments below a snapshot go, and what is above it stays, with the state", () => {
  const bench = new Bench(14);
  const { storage } = bench.open();
  storage.setState(Buffer.from("set once"));
  let most = 0;
  for (let round = 0; round < 40; round++) {
    storage.append(storage.end + 1, rows(...Array.from({ length: 10 }, () => "s".repeat(900))));
    bench.flush(storage);
    if (round % 4 === 3) bench.snapshot(storage, storage.end - 5, [Buffer.alloc(1_000)], false);
    while (bench.time.step());
    most = Math.max(most, bench.disk.files().length);
  }
  // identity, lock aside: two segments with rows, one made ahead, two snapshots while one takes the other's place.
  expect(most).toBeLessThanOrEqual(7);
  bench.disk.powerLoss();
  const { recovered } = bench.open();
  expect(recovered.entries).toMatchObject({ first: 396, end: 400 });
  expect(Buffer.from(recovered.state!).toString()).toBe("set once");
});

it("an installed snapshot takes the place of all rows, also of those above it", () => {
  const bench = new Bench(16);
  const { storage } = bench.open();
  for (let i = 0; i < 20; i++) {
    storage.append(storage.end + 1, rows(...Array.from({ length: 10 }, () => "s".repeat(900))));
    bench.flush(storage);
  }
  const before = segmentsOf(bench).length;
  bench.snapshot(storage, 50, [Buffer.from("another's")], true);
  storage.installSnapshot(50);
  storage.append(51, rows("behind it"));
  bench.flush(storage);
  while (bench.time.step());
  expect(before).toBeGreaterThan(3);
  expect(segmentsOf(bench).length).toBeLessThanOrEqual(2);
  bench.disk.powerLoss();
  const { storage: again, recovered } = bench.open();
  expect(recovered.entries).toMatchObject({ first: 51, end: 51 });
  expect(textsOf(recovered)).toEqual(["behind it"]);
  expect(bench.readSnapshot(again).toString()).toBe("another's");
});

it("a snapshot that lies ready is nothing until it is installed, and then only with the commit that says so", () => {
  for (const installed of [false, true]) {
    const bench = new Bench(19);
    const { storage } = bench.open();
    storage.append(1, rows("one", "two"));
    bench.flush(storage);
    bench.snapshot(storage, 50, [Buffer.from("another's")], true);
    storage.append(3, rows("three"));
    bench.flush(storage);
    if (installed) storage.installSnapshot(50);
    bench.disk.powerLoss();
    const { recovered } = bench.open();
    expect(recovered.snapshot).toBeUndefined();
    expect(textsOf(recovered)).toEqual(["one", "two", "three"]);
    expect(bench.disk.files().filter(({ name }) => name.startsWith("snapshot"))).toEqual([]);
  }
});

it("a checkpoint at an installed snapshot is done only when that one is on disk", () => {
  const bench = new Bench(17);
  const { storage } = bench.open();
  bench.snapshot(storage, 50, [Buffer.from("installed")], true);
  storage.installSnapshot(50);
  bench.snapshot(storage, 50, [Buffer.from("the own one")], false);
  bench.disk.powerLoss();
  expect(bench.open().recovered.snapshot?.seqno).toBe(50);
});

it("opening by promise works as well", async () => {
  const bench = new Bench(15);
  const opening = ReplicaStorage.open(bench.disk, options);
  while (bench.time.step());
  const { storage } = await opening;
  expect(storage.end).toBe(0);
});
