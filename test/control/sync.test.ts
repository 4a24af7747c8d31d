import { describe, expect, it } from "vitest";
import { encodePosition, encodeSync } from "../../src/control/messages.js";
import { MessageType, ReplicaStatus } from "../../src/data/binding.js";
import { makeRecord } from "./fake-data-plane.js";
import { Group } from "./group.js";

const ms = 1000;

describe("synchronization", () => {
  it("is quiet in an idle group", () => {
    const group = new Group({ n: 3 });
    group.runFor(10_000 * ms);
    expect(group.talk).toEqual([]);
    group.request(makeRecord(1, 1));
    group.runFor(200 * ms);
    const before = group.talk.length;
    group.runFor(10_000 * ms);
    expect(group.talk.length).toBe(before);
    // Nothing but HEARTBEATs: one to each other replica per period.
    expect(group.countSent(MessageType.Heartbeat, group.nowUs - 1_000 * ms)).toBeLessThanOrEqual(51 * 6);
  });

  it("commits the last entry within one period, with three messages to each replica", () => {
    const group = new Group({ n: 5 });
    group.request(makeRecord(1, 1));
    group.runFor(50 * ms);
    expect(group.data.map((data) => data.committed)).toEqual([1, 1, 1, 1, 1]);
    expect(group.talk.map((frame) => frame.type).sort()).toEqual([
      ...new Array(4).fill(MessageType.Sync),
      ...new Array(4).fill(MessageType.SyncReply),
      ...new Array(4).fill(MessageType.Commit),
    ]);
  });

  it("shortens its period under load and lengthens it afterwards", () => {
    const group = new Group({ n: 3 });
    for (let i = 1; i <= 6_000; i++) {
      group.request(makeRecord(1, i));
      if (i % 10 === 0) group.runFor(250);
    }
    expect(group.plane(0).snapshot.syncPeriodUs).toBeLessThan(20 * ms);
    expect(group.replica(0).logEnd - group.replica(0).committed).toBeLessThan(2_000);
    for (let i = 1; i <= 20; i++) {
      group.request(makeRecord(2, i));
      group.runFor(50 * ms);
    }
    expect(group.plane(0).snapshot.syncPeriodUs).toBe(50 * ms);
    expect(group.replica(0).view).toBe(0);
  });

  it("sends a SYNC early after syncEvery entries", () => {
    const group = new Group({ n: 3, timing: { syncEvery: 10 } });
    for (let i = 1; i <= 10; i++) group.request(makeRecord(1, i));
    group.runFor(1 * ms);
    expect(group.data.map((data) => data.committed)).toEqual([10, 10, 10]);
  });

  it("answers a SYNC once the log has its entry", () => {
    const group = new Group({ n: 3, timing: { syncEvery: 1 } });
    group.request(makeRecord(1, 1), [0, 1]);
    group.runFor(5 * ms);
    expect(group.replica(0).committed).toBe(0);
    group.deliverRequest(2, makeRecord(1, 1));
    group.runFor(1 * ms);
    expect(group.data.map((data) => data.committed)).toEqual([1, 1, 1]);
  });

  it("applies a COMMIT once the log has its entries", () => {
    const group = new Group({ n: 5, timing: { syncEvery: 1 } });
    group.request(makeRecord(1, 1), [0, 1, 2, 3]);
    group.runFor(5 * ms);
    expect(group.data.map((data) => data.committed)).toEqual([1, 1, 1, 1, 0]);
    group.deliverRequest(4, makeRecord(1, 1));
    group.runFor(1);
    expect(group.replica(4).committed).toBe(1);
  });

  it.each([
    ["SYNC", MessageType.Sync],
    ["SYNC-REPLY", MessageType.SyncReply],
    ["COMMIT", MessageType.Commit],
  ])("resends a lost %s without a reconciliation", (_, type) => {
    const group = new Group({ n: 3 });
    let lost = 0;
    group.intercept = (_from, _to, t) => t === type && lost++ < 2;
    group.request(makeRecord(1, 1));
    group.runFor(100 * ms);
    expect(group.data.map((data) => data.committed)).toEqual([1, 1, 1]);
    expect(group.replica(0).view).toBe(0);
    expect(lost).toBeGreaterThanOrEqual(2);
  });

  it("tells a replica that was cut off what the others committed, in an otherwise idle group", () => {
    const group = new Group({ n: 5 });
    group.isolate(4);
    group.request(makeRecord(1, 1), [0, 1, 2, 3]);
    group.runFor(300 * ms);
    expect(group.replica(0).committed).toBe(1);
    group.heal();
    group.runFor(3_000 * ms);
    expect(group.problems()).toEqual([]);
    expect(group.difference()).toBeUndefined();
  });
});

describe("a reconciliation is started", () => {
  it("by different hashes", () => {
    const group = new Group({ n: 3 });
    group.request(makeRecord(1, 1), [0, 1]);
    group.request(makeRecord(2, 1));
    group.request(makeRecord(1, 1), [2]);
    group.runFor(30 * ms);
    expect(group.data.map((data) => data.counts.reconciliations)).toEqual([1, 1, 1]);
    expect(group.plane(0).snapshot.lastReason).toMatch(/replica 2 has another log/);
    expect(group.difference()).toBeUndefined();
  });

  it("by a silent leader, although a superquorum is alive", () => {
    const group = new Group({ n: 5 });
    group.paused[0] = true;
    group.request(makeRecord(1, 1));
    group.runFor(60 * ms);
    expect(group.data.slice(1).map((data) => [data.view, data.committed])).toEqual([
      [1, 1],
      [1, 1],
      [1, 1],
      [1, 1],
    ]);
  });

  it("by a missing superquorum", () => {
    const group = new Group({ n: 3 });
    group.paused[2] = true;
    group.request(makeRecord(1, 1));
    group.runFor(300 * ms);
    expect(group.replica(0).committed).toBe(1);
    expect(group.replica(1).committed).toBe(1);
    expect(group.problems()).toEqual([]);
  });

  it("by a replica that does not reach the SYNC's seqno", () => {
    const group = new Group({ n: 5 });
    group.request(makeRecord(1, 1), [0, 1, 2, 3]);
    group.runFor(200 * ms);
    expect(group.plane(4).snapshot.lastReason).toMatch(/did not arrive/);
    expect(group.difference()).toBeUndefined();
    expect(group.replica(4).logEnd).toBe(1);
  });

  it("not by a process that stood still itself", () => {
    const group = new Group({ n: 3 });
    group.request(makeRecord(1, 1));
    group.runFor(1 * ms);
    // Its own timer comes late by far, and what the leader sent waits unread.
    group.nowUs += 400 * ms;
    group.plane(1).onTimer(group.nowUs);
    expect(group.replica(1).status).toBe(ReplicaStatus.Normal);
  });
});

describe("with one of three replicas dead", () => {
  it("operations still complete, and the dead leader's views are skipped after the first", () => {
    const group = new Group({ n: 3 });
    group.paused[1] = true;
    let latestUs = 0;
    for (let i = 1; i <= 10; i++) {
      const startUs = group.nowUs;
      group.request(makeRecord(1, i));
      while (group.replica(0).committed < i && group.nowUs - startUs < 2_000 * ms) group.runFor(1 * ms);
      expect(group.replica(0).committed).toBe(i);
      latestUs = group.nowUs - startUs;
    }
    expect(group.plane(0).snapshot.silent).toEqual([1]);
    expect(latestUs).toBeLessThan(120 * ms);
    expect(group.problems()).toEqual([]);
    group.paused[1] = false;
    group.runFor(3_000 * ms);
    expect(group.difference()).toBeUndefined();
  });

  it("the time-outs grow to a second while no quorum is there, and the view does not run away", () => {
    const group = new Group({ n: 3 });
    group.paused[1] = true;
    group.paused[2] = true;
    group.request(makeRecord(1, 1));
    group.runFor(10_000 * ms);
    expect(group.replica(0).view).toBe(1);
    expect(group.countSent(MessageType.StartReconciliation, 9_000 * ms)).toBeLessThan(25);
    group.heal();
    group.runFor(2_000 * ms);
    expect(group.difference()).toBeUndefined();
    expect(group.replica(2).logEnd).toBe(1);
  });
});

describe("a client's complaint", () => {
  it("makes the leader send a SYNC at once, limited per session", () => {
    const group = new Group({ n: 3 });
    group.request(makeRecord(1, 1));
    group.plane(0).onComplaint(group.nowUs, 1, 1);
    group.runFor(1 * ms);
    expect(group.data.map((data) => data.committed)).toEqual([1, 1, 1]);
    group.request(makeRecord(1, 2), [0]);
    const before = group.replica(0).counts.syncs;
    for (let i = 0; i < 1000; i++) group.plane(0).onComplaint(group.nowUs, 1, 2);
    expect(group.replica(0).counts.syncs - before).toBeLessThanOrEqual(4);
    group.plane(0).onComplaint(group.nowUs, 7, 2);
    expect(group.replica(0).counts.syncs - before).toBeLessThanOrEqual(5);
  });

  it("makes another replica ask the leader, and reconcile if no commit follows", () => {
    const group = new Group({ n: 3 });
    group.request(makeRecord(1, 1));
    group.paused[0] = true;
    group.plane(1).onComplaint(group.nowUs, 1, 1);
    expect(group.talk.at(-1)).toMatchObject({ from: 1, to: 0, type: MessageType.SyncReply });
    group.runFor(60 * ms);
    expect(group.replica(1).view).toBeGreaterThan(0);
  });
});

describe("status RECOVERY", () => {
  it("answers nobody and starts nothing but its recovery", () => {
    const group = new Group({ n: 3 });
    group.replica(1).status = ReplicaStatus.Recovery;
    for (const type of Object.values(MessageType)) group.frame(0, 1, type, encodeSync({ view: 5, seqno: 5 }));
    group.plane(1).onProgress(0);
    group.plane(1).onTimer(1_000 * ms);
    group.plane(1).onComplaint(0, 1, 1);
    expect(group.sent.map((frame) => frame.type)).toEqual([MessageType.RecoveryQuery, MessageType.RecoveryQuery]);
  });
});

describe("a COMMIT", () => {
  it("that contradicts the committed log stops the replica", () => {
    const group = new Group({ n: 3 });
    group.request(makeRecord(1, 1));
    group.runFor(100 * ms);
    group.frame(0, 1, MessageType.Commit, encodePosition({ view: 0, seqno: 1, hash: new Uint8Array(32) }));
    expect(group.replica(1).failures).toHaveLength(1);
    expect(group.plane(1).snapshot.failed).toBe(true);
    expect(group.plane(1).nextDeadlineUs()).toBe(Number.POSITIVE_INFINITY);
  });

  it("with another hash than a speculative entry starts a reconciliation", () => {
    const group = new Group({ n: 3 });
    group.request(makeRecord(1, 1));
    group.frame(0, 1, MessageType.Commit, encodePosition({ view: 0, seqno: 1, hash: new Uint8Array(32) }));
    expect(group.replica(1).view).toBe(1);
    expect(group.problems()).toEqual([]);
  });
});

it("a group of one commits by itself", () => {
  const group = new Group({ n: 1 });
  group.request(makeRecord(1, 1));
  expect(group.replica(0).committed).toBe(1);
});
