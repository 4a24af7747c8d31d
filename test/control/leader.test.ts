/** Heartbeats, silence and LEADER views in a whole group. */
import { describe, expect, it } from "vitest";
import { decodeHeartbeat, encodeHeartbeat, HeartbeatFlag } from "../../src/control/heartbeat-message.js";
import { MessageType, Mode, ReplicaStatus } from "../../src/data/binding.js";
import { makeRecord } from "./fake-data-plane.js";
import { Group, type GroupOptions } from "./group.js";

const ms = 1000;

function group(options: Partial<GroupOptions> = {}): Group {
  return new Group({ n: 3, config: { mode: "adaptive" }, ...options });
}

/** One request per ms at all replicas that live; returns the longest time, in ms, in which no replica's committed seqno rose. */
function load(g: Group, forMs: number, first: number): number {
  let best = 0;
  let sinceMs = 0;
  let longest = 0;
  for (let i = 0; i < forMs; i++) {
    g.request(makeRecord(1, first + i));
    g.runFor(ms);
    const committed = Math.max(...g.data.map((data, r) => (g.paused[r] ? 0 : data.committed)));
    if (committed > best) sinceMs = 0;
    best = Math.max(best, committed);
    longest = Math.max(longest, ++sinceMs);
  }
  return longest;
}

describe("heartbeats", () => {
  it("go to everybody every period and say where the sender is", () => {
    const g = group();
    g.request(makeRecord(1, 1));
    g.runFor(100 * ms);
    g.intercept = (_from, _to, type, body) => {
      if (type !== MessageType.Heartbeat) return false;
      const { checkpoint, committed, end, view, flags } = decodeHeartbeat(body) ?? {};
      expect({ checkpoint, committed, end, view, flags }).toEqual({ checkpoint: 0, committed: 1, end: 1, view: 0, flags: 3 });
      return false;
    };
    const before = g.countSent(MessageType.Heartbeat);
    g.runFor(1000 * ms);
    expect(g.countSent(MessageType.Heartbeat) - before).toBe(50 * 6);
  });

  it("are not sent by a replica alone", () => {
    const g = new Group({ n: 1 });
    g.runFor(1000 * ms);
    expect(g.sent).toEqual([]);
  });

  it("a replica that is late by its own account is waited for, within bounds", () => {
    const g = group();
    g.runFor(50 * ms);
    g.replica(2).loopDelayUs = 200 * ms;
    g.runFor(50 * ms);
    g.paused[2] = true;
    g.runFor(200 * ms);
    expect(g.plane(0).snapshot.silent).toEqual([]);
    g.runFor(150 * ms);
    expect(g.plane(0).snapshot.silent).toEqual([2]);
    const beat = {
      view: 0,
      incarnation: 1,
      committed: 0,
      end: 0,
      base: 0,
      checkpoint: 0,
      digest: new Uint8Array(32),
      flags: 3,
      newestVersion: 1,
    };
    g.frame(2, 0, MessageType.Heartbeat, encodeHeartbeat({ ...beat, loopDelayMs: 4_000_000_000 }));
    g.runFor(1000 * ms);
    expect(g.plane(0).snapshot.silent).toEqual([2]);
  });

  it("a process that stood still judges nobody before it has read what came meanwhile", () => {
    const g = group();
    g.runFor(50 * ms);
    const frames: Uint8Array[] = [];
    g.intercept = (from, to, type, body) => {
      if (to === 1 && from === 0 && type === MessageType.Heartbeat) frames.push(Uint8Array.from(body));
      return to === 1;
    };
    g.paused[1] = true;
    g.runFor(70 * ms);
    g.paused[1] = false;
    g.nowUs += 5_000 * ms;
    g.plane(1).onTimer(g.nowUs);
    g.plane(1).onTimer(g.nowUs + 1);
    expect(g.replica(1).status).toBe(ReplicaStatus.Normal);
    expect(g.plane(1).snapshot.silent).toEqual([]);
  });

  it("bring an idle replica that missed a view into it", () => {
    const g = new Group({ n: 5, config: { mode: "adaptive" } });
    g.runFor(50 * ms);
    g.isolate(4);
    g.paused[0] = true;
    g.runFor(300 * ms);
    expect(g.replica(1).view).toBeGreaterThan(0);
    g.heal();
    g.runFor(1000 * ms);
    expect(g.difference()).toBeUndefined();
  });
});

describe.each(["adaptive", "speculative", "leader"] as const)("a crash under load: %s", (mode) => {
  it.each([0, 1, 2])("of replica %i interrupts commits for less than the detection time and 20 ms", (victim) => {
    for (const atMs of [200, 207, 213, 219]) {
      const g = group({ config: { mode } });
      load(g, atMs, 1);
      g.paused[victim] = true;
      // In a group that stays SPECULATIVE without a superquorum each commit takes a reconciliation.
      expect(load(g, 1000, 10_000), `${atMs} ms`).toBeLessThan(timingDetectMs + 20);
      expect(g.problems()).toEqual([]);
    }
  });
});

const timingDetectMs = 80;

describe("adaptive mode", () => {
  it("goes on in LEADER views while a replica is dead, without further reconciliations, and back when it returns", () => {
    const g = group();
    load(g, 100, 1);
    g.paused[2] = true;
    load(g, 500, 1_000);
    const { view } = g.replica(0);
    expect(g.replica(0).mode).toBe(Mode.Leader);
    load(g, 2000, 2_000);
    expect(g.replica(0)).toMatchObject({ view, mode: Mode.Leader });
    expect(g.replica(0).logEnd - g.replica(0).committed).toBeLessThan(5);
    g.paused[2] = false;
    load(g, 3000, 10_000);
    expect(g.data.map((data) => data.mode)).toEqual([0, 0, 0]);
    expect(g.replica(0).counts.modeSwitches).toBe(2);
    g.runFor(200 * ms);
    expect(g.difference()).toBeUndefined();
    expect(g.problems()).toEqual([]);
  });

  it("the same without load", () => {
    const g = group();
    g.runFor(100 * ms);
    g.paused[1] = true;
    g.runFor(1000 * ms);
    expect(g.replica(0).mode).toBe(Mode.Leader);
    g.paused[1] = false;
    g.runFor(3000 * ms);
    expect(g.data.map((data) => [data.mode, data.counts.modeSwitches])).toEqual([
      [0, 2],
      [0, 2],
      [0, 2],
    ]);
  });

  it("a divergence with all replicas alive stays SPECULATIVE", () => {
    const g = group();
    for (let i = 1; i <= 3; i++) {
      g.request(makeRecord(1, i), [0, 1]);
      g.request(makeRecord(2, i));
      g.request(makeRecord(1, i), [2]);
      g.runFor(400 * ms);
    }
    expect(g.replica(0).counts).toMatchObject({ reconciliations: 3, modeSwitches: 0 });
    expect(g.difference()).toBeUndefined();
  });

  it("waits a little for a replica that is alive before it gives up the superquorum", () => {
    const g = group();
    g.runFor(50 * ms);
    g.request(makeRecord(1, 1), [0, 1]);
    g.request(makeRecord(2, 1));
    g.request(makeRecord(1, 1), [2]);
    // What replica 2 says of the reconciliation comes 5 ms late.
    g.intercept = (from, to, type, body) => {
      if (from !== 2 || type === MessageType.Heartbeat || g.replica(2).view === 0) return false;
      const copy = Uint8Array.from(body);
      g.at(5 * ms, () => g.frame(from, to, type, copy));
      return true;
    };
    g.runFor(300 * ms);
    expect(g.replica(0).counts).toMatchObject({ reconciliations: 1, modeSwitches: 0 });
    expect(g.replica(0).view).toBe(1);
  });

  it("skips the view of a leader that died too, without its time-out", () => {
    const g = new Group({ n: 5, config: { mode: "adaptive" }, timing: { reconciliationTimeoutMs: 1000 } });
    load(g, 200, 1);
    g.paused[0] = true;
    load(g, 30, 1_000);
    g.paused[1] = true;
    expect(load(g, 1000, 10_000)).toBeLessThan(timingDetectMs + 30 + 20);
    expect(g.problems()).toEqual([]);
  });

  it("many divergences switch to LEADER, where the order of arrival no longer matters", () => {
    const g = group();
    for (let i = 1; i <= 1000; i++) {
      const [a, b] = [makeRecord(1, i), makeRecord(2, i)];
      g.deliverRequest(0, a);
      g.request(b);
      g.request(a, [1, 2]);
      g.runFor(5 * ms);
    }
    expect(g.replica(0).mode).toBe(Mode.Leader);
    expect(g.replica(0).counts.modeSwitches).toBe(1);
    expect(g.problems()).toEqual([]);
    for (let i = 1; i <= 500; i++) {
      g.request(makeRecord(3, i));
      g.runFor(5 * ms);
    }
    expect(g.replica(0)).toMatchObject({ mode: Mode.Speculative, counts: { modeSwitches: 2 } });
  });
});

describe("a LEADER view", () => {
  const leader = { config: { mode: "leader" as const } };

  it("tells the last commit within a few ms, and then is quiet", () => {
    const g = group(leader);
    g.request(makeRecord(1, 1));
    g.runFor(10 * ms);
    expect(g.data.map((data) => data.committed)).toEqual([1, 1, 1]);
    g.runFor(100 * ms);
    const before = g.talk.length;
    g.runFor(5_000 * ms);
    expect(g.talk.length).toBe(before);
  });

  it.each([
    ["PREPARE", MessageType.Prepare],
    ["PREPARE-OK", MessageType.PrepareOk],
  ])("repeats a lost %s", (_, type) => {
    const g = group(leader);
    g.runFor(50 * ms);
    let lost = 0;
    g.intercept = (_from, _to, t) => t === type && lost++ < 4;
    g.request(makeRecord(1, 1));
    g.runFor(100 * ms);
    expect(g.data.map((data) => data.committed)).toEqual([1, 1, 1]);
    expect(g.replica(0).view).toBe(0);
    expect(lost).toBeGreaterThan(4);
  });

  it("heartbeats tell the commit when everything else about it is lost", () => {
    const g = group(leader);
    g.runFor(50 * ms);
    g.request(makeRecord(1, 1));
    g.intercept = (from, _to, type) => from === 0 && type === MessageType.Prepare;
    g.runFor(1 * ms);
    g.runFor(50 * ms);
    expect(g.data.map((data) => data.committed)).toEqual([1, 1, 1]);
  });

  it("a backup catches up after it was cut off for a while", () => {
    const g = group(leader);
    g.runFor(50 * ms);
    g.block(0, 2);
    // Within the detection time: no reconciliation.
    for (let i = 1; i <= 500; i++) {
      g.request(makeRecord(1, i), [0, 1]);
      g.runFor(100);
    }
    expect(g.replica(2).logEnd).toBe(0);
    g.block(0, 2, false);
    g.runFor(100 * ms);
    expect(g.difference()).toBeUndefined();
    expect(g.replica(0)).toMatchObject({ view: 0, committed: 500 });
  });

  it("replaces a leader that hears nobody but is heard", () => {
    const g = group(leader);
    g.runFor(50 * ms);
    for (const r of [1, 2]) g.block(r, 0);
    g.request(makeRecord(1, 1));
    g.runFor(500 * ms);
    expect(g.replica(1).view).toBeGreaterThan(0);
    g.request(makeRecord(1, 1));
    g.runFor(50 * ms);
    expect(g.replica(1).committed).toBe(1);
    expect(g.problems()).toEqual([]);
  });

  it.each([
    [0, 1],
    [0, 2],
    [1, 0],
    [2, 0],
    [1, 2],
    [2, 1],
  ])("goes on with %i not heard by %i, in at most one further view", (from, to) => {
    for (const mode of ["leader", "adaptive"] as const) {
      const g = group({ config: { mode } });
      g.runFor(50 * ms);
      g.block(from, to);
      load(g, 1000, 1);
      const { view } = g.replica(1);
      expect(load(g, 2000, 10_000), mode).toBeLessThan(timingDetectMs);
      expect(g.replica(1).view - view, mode).toBeLessThanOrEqual(1);
      g.heal();
      load(g, 2000, 20_000);
      g.runFor(500 * ms);
      expect(g.difference(), mode).toBeUndefined();
      expect(g.problems()).toEqual([]);
    }
  });

  it("a PREPARE of a view that is not here makes the backup ask for its START-VIEW", () => {
    const g = group(leader);
    g.runFor(1 * ms);
    const view = Buffer.alloc(8);
    view.writeUInt32LE(4);
    expect(g.plane(0).onFrame(g.nowUs, 1, MessageType.Prepare, view)).toBe(true);
    expect(g.sent.at(-1)).toMatchObject({ from: 0, to: 1, type: MessageType.StartViewRequest });
    expect(g.plane(0).onFrame(g.nowUs, 2, MessageType.Prepare, view)).toBe(false);
    expect(g.plane(0).onFrame(g.nowUs, 1, MessageType.Prepare, view.subarray(0, 7))).toBe(false);
  });

  it("a PREPARE-OK that contradicts the leader's log stops the leader", () => {
    const g = group(leader);
    g.runFor(1 * ms);
    g.plane(1).onFrame(g.nowUs, 0, MessageType.PrepareOk, new Uint8Array(40));
    expect(g.replica(1).failures).toEqual([]);
    g.plane(0).onFrame(g.nowUs, 1, MessageType.PrepareOk, new Uint8Array(40));
    expect(g.replica(0).failures[0]).toMatch(/replica 1 acknowledged another log/);
  });

  it("a client's complaint makes the leader repeat what was not acknowledged", () => {
    const g = group(leader);
    g.runFor(50 * ms);
    let cut = true;
    g.intercept = (_from, _to, type) => cut && type === MessageType.Prepare;
    g.request(makeRecord(1, 1));
    g.runFor(1 * ms);
    cut = false;
    g.plane(0).onComplaint(g.nowUs, 1, 1);
    g.runFor(1 * ms);
    expect(g.replica(0).committed).toBe(1);
  });

  it("only what its leader says counts as committed", () => {
    const g = group(leader);
    g.intercept = (_from, to, type) => to === 2 && type === MessageType.Heartbeat;
    g.request(makeRecord(1, 1));
    g.runFor(500);
    expect(g.replica(2)).toMatchObject({ logEnd: 1, committed: 0 });
    const beat = {
      view: 0,
      incarnation: 1,
      loopDelayMs: 0,
      committed: 9,
      end: 9,
      base: 0,
      checkpoint: 0,
      digest: new Uint8Array(32),
      newestVersion: 1,
    };
    const flags = HeartbeatFlag.Normal | HeartbeatFlag.Majority;
    g.frame(1, 2, MessageType.Heartbeat, encodeHeartbeat({ ...beat, flags }));
    expect(g.replica(2).committed).toBe(0);
    g.frame(0, 2, MessageType.Heartbeat, encodeHeartbeat({ ...beat, flags: 0 }));
    expect(g.replica(2).committed).toBe(0);
    g.frame(0, 2, MessageType.Heartbeat, encodeHeartbeat({ ...beat, flags }));
    expect(g.replica(2).committed).toBe(1);
  });
});
