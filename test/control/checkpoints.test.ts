/** Checkpoints compared and truncated at, and state transfer to replicas whose log does not reach the others'. */
import { describe, expect, it } from "vitest";
import {
  decodeFetchSnapshot,
  decodeSnapshotChunk,
  encodeSnapshotChunk,
  type SnapshotChunkMessage,
} from "../../src/control/snapshot-messages.js";
import { MessageType, Mode, ReplicaStatus } from "../../src/data/binding.js";
import { makeRecord } from "./fake-data-plane.js";
import { Group, type GroupOptions, storm } from "./group.js";

const ms = 1000;

function group(options: Partial<GroupOptions> = {}): Group {
  return new Group({ n: 3, checkpointEvery: 50, config: { mode: "adaptive", messageBytes: 700 }, ...options });
}

// Nothing happens but what the script lets happen.
const patient = { detectMs: 60_000, syncTimeoutMs: 60_000, reconciliationTimeoutMs: 60_000 };

/** `count` requests at these replicas, committed. */
function load(g: Group, count: number, replicas: number[], session = 1): void {
  for (let i = 1; i <= count; i++) {
    g.request(makeRecord(session, i), replicas);
    g.runFor(ms);
  }
  g.runFor(50 * ms);
}

/** These replicas, and only these, hear each other. */
function connect(g: Group, members: number[]): void {
  for (let a = 0; a < g.n; a++) for (let b = 0; b < g.n; b++) if (a !== b) g.block(a, b, !(members.includes(a) && members.includes(b)));
}

function all(g: Group): number[] {
  return [...g.data.keys()];
}

describe("a checkpoint", () => {
  it("lets the log be truncated at the one before it", () => {
    const g = group();
    load(g, 49, all(g));
    expect(g.data.map((data) => data.logBase)).toEqual([0, 0, 0]);
    load(g, 60, all(g), 2);
    expect(g.data.map((data) => data.logBase)).toEqual([50, 50, 50]);
    load(g, 60, all(g), 3);
    expect(g.data.map((data) => [data.logBase, data.logEnd])).toEqual([
      [100, 169],
      [100, 169],
      [100, 169],
    ]);
    expect(g.problems()).toEqual([]);
    expect(g.difference()).toBeUndefined();
  });

  it("with another state than f+1 others have stops the replica", () => {
    const g = group();
    g.replica(2).wrongState = true;
    load(g, 60, all(g));
    expect(g.replica(2).failures).toEqual(["the state at checkpoint 50 differs from that of replicas 0 and 1"]);
    expect(g.replica(0).failures).toEqual([]);
    expect(g.replica(2).events).toEqual([
      { type: "diverged", seqno: 50, message: "the state at checkpoint 50 differs from that of replicas 0 and 1" },
    ]);
  });

  it("is only reported where no f+1 agree on another", () => {
    const g = new Group({ n: 5, checkpointEvery: 50 });
    for (const r of [3, 4]) g.replica(r).wrongState = true;
    g.paused[0] = true;
    load(g, 120, all(g));
    expect(g.problems()).toEqual([]);
    const told = (r: number) => g.replica(r).events.filter((event) => event.type === "state-differs");
    expect(told(1).map((event) => event.seqno)).toEqual([50, 100]);
    expect(told(3).map((event) => event.seqno)).toEqual([50, 100]);
    expect(told(3).flatMap((event) => event.peers)).not.toContain(4);
  });
});

describe("a replica behind the others' logs", () => {
  it("installs a START-VIEW by a snapshot and what follows it", () => {
    const g = group({ n: 5, config: { mode: "speculative", messageBytes: 700 }, timing: patient });
    g.isolate(4);
    g.request(makeRecord(8, 1), [4]);
    load(g, 240, [0, 1, 2, 3]);
    expect(g.replica(0).logBase).toBe(150);
    connect(g, all(g));
    g.startReconciliation(2, 1, 1);
    g.runFor(3_000 * ms);
    expect(g.replica(4).restores).toEqual([200]);
    expect(g.replica(4).installs.at(-1)).toMatchObject({ keepTo: 200 });
    expect(g.problems()).toEqual([]);
    expect(g.difference()).toBeUndefined();
  });

  it("installs it too when the snapshot is newer than the log the view started with", () => {
    const g = group({ n: 5, config: { mode: "speculative", messageBytes: 700 }, timing: patient });
    g.isolate(4);
    load(g, 20, [0, 1, 2, 3]);
    g.startReconciliation(2, 1, 1);
    g.runFor(20 * ms);
    const { view } = g.replica(0);
    load(g, 240, [0, 1, 2, 3], 2);
    expect(g.replica(0).view).toBe(view);
    // Only the START-VIEW of the view that is under way comes through.
    g.intercept = (from, _to, type) => from === 4 && type === MessageType.StartReconciliation;
    connect(g, all(g));
    g.runFor(1_000 * ms);
    expect(g.replica(4).restores).toEqual([250]);
    expect(g.replica(4)).toMatchObject({ view, status: ReplicaStatus.Normal, logBase: 250, committed: 250 });
    g.intercept = () => false;
    load(g, 5, all(g), 3);
    g.runFor(2_000 * ms);
    expect(g.problems()).toEqual([]);
    expect(g.difference()).toBeUndefined();
  });

  it("leads a merge after it has fetched a snapshot from a member, its own log still counting", () => {
    const g = group({ n: 5, config: { mode: "speculative", messageBytes: 700 }, timing: patient });
    g.isolate(4);
    load(g, 240, [0, 1, 2, 3]);
    // Speculative entries of its own, in the place of others.
    for (let i = 1; i <= 3; i++) g.request(makeRecord(7, i), [4]);
    for (let i = 1; i <= 2; i++) g.request(makeRecord(6, i), [0, 1, 4]);
    connect(g, [0, 1, 4]);
    g.startReconciliation(0, 4, 9);
    g.runFor(300 * ms);
    expect(g.replica(4)).toMatchObject({ view: 9, status: ReplicaStatus.Normal });
    expect(g.replica(4).restores).toEqual([200]);
    expect(g.problems()).toEqual([]);
    connect(g, all(g));
    g.runFor(3_000 * ms);
    expect(g.difference()).toBeUndefined();
    expect(g.replica(0).logEnd).toBe(242);
  });

  it("does not hold back a merge that needs no entry it lacks", () => {
    const g = group({ n: 5, config: { mode: "speculative", messageBytes: 700 }, timing: patient });
    g.isolate(4);
    for (let i = 1; i <= 20; i++) g.request(makeRecord(7, i), [4]);
    load(g, 240, [0, 1, 2, 3]);
    // 4's log lies below the leader's base with all it has, and does not agree with it.
    connect(g, [1, 2, 4]);
    g.startReconciliation(2, 1, 6);
    g.runFor(30 * ms);
    expect(g.replica(1)).toMatchObject({ view: 6, status: ReplicaStatus.Normal, committed: 240 });
    g.runFor(1_000 * ms);
    expect(g.replica(4)).toMatchObject({ view: 6, status: ReplicaStatus.Normal, committed: 240 });
    expect(g.problems()).toEqual([]);
  });

  it("whose speculative entries reach above the leader's base takes part with those above it", () => {
    const g = group({ n: 5, config: { mode: "speculative", messageBytes: 700 }, timing: patient });
    g.isolate(4);
    load(g, 240, [0, 1, 2, 3]);
    for (let i = 1; i <= 180; i++) g.request(makeRecord(7, i), [4]);
    expect(g.replica(4).logEnd).toBeGreaterThan(g.replica(1).logBase);
    connect(g, [1, 2, 4]);
    g.startReconciliation(2, 1, 6);
    g.runFor(2_000 * ms);
    expect(g.problems()).toEqual([]);
    expect(g.replica(4)).toMatchObject({ view: 6, status: ReplicaStatus.Normal, committed: 240 + 30 });
    connect(g, all(g));
    g.runFor(3_000 * ms);
    expect(g.difference()).toBeUndefined();
  });

  it("catches up in a LEADER view, which goes on meanwhile", () => {
    const g = group({ config: { mode: "leader", messageBytes: 700 } });
    g.intercept = (_from, to, type) => to === 2 && type === MessageType.Prepare;
    load(g, 240, all(g));
    // Without a single PREPARE it follows by snapshots.
    expect(g.replica(2).restores.length).toBeGreaterThan(0);
    expect(g.replica(2).logEnd).toBe(g.replica(2).restores.at(-1));
    g.intercept = () => false;
    for (let i = 1; i <= 100; i++) {
      g.request(makeRecord(2, i));
      g.runFor(ms);
    }
    g.runFor(100 * ms);
    expect(g.replica(0)).toMatchObject({ view: 0, committed: 340, mode: Mode.Leader });
    expect(g.difference()).toBeUndefined();
    expect(g.problems()).toEqual([]);
  });

  it("does not take into its view what was committed in a later one", () => {
    const g = group({ config: { mode: "leader", messageBytes: 700 } });
    let later = 0;
    g.intercept = (from, to, type, body) => {
      if (to !== 2 || type !== MessageType.SnapshotChunk) return to === 2 && type === MessageType.Prepare;
      // The leader has gone on to its next view meanwhile.
      const chunk = decodeSnapshotChunk(body) as SnapshotChunkMessage;
      const sent = encodeSnapshotChunk({ ...chunk, view: 3 });
      g.at(0, () => g.frame(from, to, type, sent));
      later++;
      return true;
    };
    load(g, 240, all(g));
    expect(later).toBeGreaterThan(0);
    expect(g.replica(2)).toMatchObject({ view: 0, status: ReplicaStatus.Normal, restores: [] });
    expect(g.problems()).toEqual([]);
  });
});

describe("a transfer", () => {
  /** 4 was cut off and now hears the others again; what `frames` returns true for gets lost. */
  function transfer(options: Partial<GroupOptions> = {}): Group {
    const g = group({ n: 5, config: { mode: "speculative", messageBytes: 700 }, ...options });
    g.isolate(4);
    load(g, 240, [0, 1, 2, 3]);
    connect(g, all(g));
    return g;
  }

  it("repeats what gets lost", () => {
    const g = transfer();
    g.intercept = (_from, _to, type) =>
      [MessageType.SnapshotChunk, MessageType.FetchSnapshot].includes(type as never) && g.prng.unit() < 0.3;
    g.runFor(5_000 * ms);
    expect(g.replica(4).restores).toHaveLength(1);
    expect(g.difference()).toBeUndefined();
  });

  /** When chunks were asked for on a network of round trips of 16 ms; `loaded`: while the others go on committing. */
  function askedFor(loaded: boolean): number[] {
    const g = transfer();
    const asked: number[] = [];
    g.intercept = (_from, _to, type) => {
      if (type === MessageType.FetchSnapshot) asked.push(g.nowUs);
      return false;
    };
    g.network = { ...g.network, minDelayUs: 8_000, maxDelayUs: 8_001 };
    for (let i = 1; i <= 3_000 && g.replica(4).restores.length === 0; i++) {
      if (loaded) for (const replica of [0, 1, 2, 3]) g.request(makeRecord(9, i), [replica]);
      g.runFor(1 * ms);
    }
    expect(g.replica(4).restores).toHaveLength(1);
    expect(asked.length).toBeGreaterThan(20);
    return asked;
  }

  it("has few requests under way", () => {
    const asked = askedFor(false);
    for (let i = 1; i + 4 < asked.length; i++) expect((asked[i + 4] as number) - (asked[i] as number)).toBeGreaterThanOrEqual(16_000);
    // The first tells what there is; then four per round trip.
    expect((asked.at(-1) as number) - (asked[0] as number)).toBeLessThan((2 + asked.length / 4) * 16_100);
  });

  it("goes on at another source with the same state where the first stopped", () => {
    const g = transfer();
    const chunks: { from: number; offset: number }[] = [];
    let asked = 0;
    g.intercept = (from, to, type, body) => {
      if (type === MessageType.FetchSnapshot && decodeFetchSnapshot(body)?.offset === 0) asked++;
      if (type !== MessageType.SnapshotChunk) return false;
      const { offset, machineBytes } = decodeSnapshotChunk(body) ?? { offset: -1, machineBytes: 0 };
      chunks.push({ from, offset });
      // The first source dies half way through the machine's bytes.
      if (offset > machineBytes / 2 && !g.paused.includes(true)) g.paused[from] = true;
      return g.paused[from] === true && to === 4;
    };
    g.runFor(5_000 * ms);
    expect(g.replica(4).restores).toHaveLength(1);
    const sources = new Set(chunks.map((one) => one.from));
    expect(sources.size).toBe(2);
    const second = chunks.filter((one) => one.from !== chunks[0]?.from);
    expect(Math.min(...second.map((one) => one.offset))).toBeGreaterThan(0);
    expect(asked).toBe(1);
    expect(g.problems()).toEqual([]);
  });

  it("is verified, and fetched again when the bytes do not have their digest", () => {
    const g = transfer();
    let spoilt = 0;
    g.intercept = (from, to, type, body) => {
      if (type !== MessageType.SnapshotChunk || decodeSnapshotChunk(body)?.offset !== 1400 || spoilt++ > 0) return false;
      const wrong = Uint8Array.from(body);
      wrong[wrong.length - 1] = (wrong.at(-1) as number) ^ 1;
      g.at(60, () => g.frame(from, to, type, wrong));
      return true;
    };
    g.runFor(5_000 * ms);
    expect(spoilt).toBe(2);
    expect(g.replica(4).restores).toHaveLength(1);
    expect(g.difference()).toBeUndefined();
  });

  it("waits for a verification that is put off", () => {
    const g = transfer();
    g.replica(4).verifiesLater = true;
    g.runFor(300 * ms);
    const [verification] = g.replica(4).verifications;
    expect(g.replica(4).restores).toEqual([]);
    g.plane(4).onVerified(g.nowUs, verification!.snapshot, verification!.valid);
    g.runFor(1_000 * ms);
    expect(g.replica(4).restores).toEqual([200]);
    expect(g.difference()).toBeUndefined();
  });

  it("keeps the log behind its snapshot while it lasts, not for ever, and not if the log fills up", () => {
    const run = (logEntries: number): Group => {
      const g = transfer({ logEntries, timing: patient });
      g.startReconciliation(2, 1, 1);
      // The transfer gets no further than its start.
      g.intercept = (_from, _to, type, body) => type === MessageType.SnapshotChunk && (decodeSnapshotChunk(body)?.offset ?? 0) > 0;
      for (let i = 1; i <= 300; i++) {
        g.request(makeRecord(5, i), [0, 1, 2, 3]);
        g.runFor(ms);
      }
      return g;
    };
    const g = run(10_000);
    const source = g.sent.findLast((frame) => frame.type === MessageType.FetchSnapshot)?.to as number;
    expect(g.replica(source).logBase).toBe(200);
    g.paused[4] = true;
    g.runFor(1_500 * ms);
    load(g, 60, [0, 1, 2, 3], 6);
    expect(g.replica(source).logBase).toBeGreaterThanOrEqual(500);
    expect(run(320).replica(source).logBase).toBeGreaterThan(200);
  });
});

describe.each([3, 5])("%i replicas with checkpoints", (n) => {
  it.each(["speculative", "adaptive", "leader"] as const)("stay safe through faults and converge: %s", (mode) => {
    let restores = 0;
    for (let seed = 1; seed <= 12; seed++) {
      const g = storm({ n, seed, checkpointEvery: 12, config: { mode, messageBytes: 700 } });
      expect(g.problems(), `seed ${seed}`).toEqual([]);
      g.runFor(6_000 * ms);
      g.multicast(makeRecord(99, 1, "after the faults"));
      g.runFor(3_000 * ms);
      expect(g.problems(), `seed ${seed}`).toEqual([]);
      expect(g.difference(), `seed ${seed}`).toBeUndefined();
      expect(g.replica(0).logBase, `seed ${seed}`).toBeGreaterThan(0);
      restores += g.data.reduce((sum, data) => sum + data.restores.length, 0);
    }
    // A group that is SPECULATIVE, if only for a while, seldom commits so much without one of its replicas.
    if (mode === "leader") expect(restores).toBeGreaterThan(0);
  });
});
