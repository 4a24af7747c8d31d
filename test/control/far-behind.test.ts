/** A backup that lacks thousands of entries when its view begins, on a network whose round trips take longer than a resend period. */
import { describe, expect, it } from "vitest";
import { decodeFetchReply, FetchWhat } from "../../src/control/messages.js";
import { MessageType, ReplicaStatus } from "../../src/data/binding.js";
import { makeRecord } from "./fake-data-plane.js";
import { Group } from "./group.js";

const ms = 1000;
const entries = 3000;
const slow = { lossProbability: 0, duplicateProbability: 0, minDelayUs: 20 * ms, maxDelayUs: 25 * ms, slowProbability: 0 };

/**
 * Replica 2 lacks all entries. Cut off from everything it has gone on to a view that it leads itself, and has to fetch them for the merge;
 * where only PREPAREs did not reach it, replica 1 leads the next view, and it has to fetch them to install that.
 */
function farBehind(cut: "everything" | "PREPAREs"): Group {
  const g = new Group({ n: 3, config: { mode: "leader", messageBytes: 2000 } });
  if (cut === "everything") g.isolate(2);
  else g.intercept = (_from, to, type) => to === 2 && type === MessageType.Prepare;
  g.runFor(150 * ms);
  for (let i = 1; i <= entries; i++) g.request(makeRecord(1, i), [0]);
  g.runFor(500 * ms);
  expect(g.replica(1).committed).toBe(entries);
  expect(g.replica(2).logEnd).toBe(0);
  g.isolate(2, false);
  g.intercept = () => false;
  g.isolate(0);
  while (cut === "PREPAREs" && g.replica(1).lastNormalView === 0) g.runFor(ms);
  g.network = slow;
  return g;
}

/** Seqnos of records in the FETCH-REPLYs that are sent from now on. */
function fetchedRecords(g: Group): number[] {
  const seqnos: number[] = [];
  g.intercept = (_from, _to, type, body) => {
    const message = type === MessageType.FetchReply ? decodeFetchReply(body) : undefined;
    if (message?.what === FetchWhat.Records) seqnos.push(...message.records.map(({ seqno }) => seqno));
    return false;
  };
  return seqnos;
}

describe("a backup that is far behind when its view begins", () => {
  it.each(["everything", "PREPAREs"] as const)("gets there without fetching much twice, cut off from %s before", (cut) => {
    const g = farBehind(cut);
    const fetched = fetchedRecords(g);
    g.runFor(3_500 * ms);
    expect(g.replica(2)).toMatchObject({ status: ReplicaStatus.Normal, committed: entries, logEnd: entries });
    expect(g.replica(2).view).toBe(g.replica(1).view);
    expect(fetched.length).toBeLessThan(1.2 * entries);
    expect(g.problems()).toEqual([]);
  });

  it("is waited for by its leader, although another replica recovers and needs a reconciliation", () => {
    const g = farBehind("PREPAREs");
    g.runFor(100 * ms);
    const { view } = g.replica(1);
    expect(g.replica(1).status).toBe(ReplicaStatus.Normal);
    expect(g.replica(2)).toMatchObject({ status: ReplicaStatus.Reconciliation, view });
    g.isolate(0, false);
    g.crash(0);
    g.runFor(800 * ms);
    const asked = g.sent.some(({ from, type }) => from === 0 && type === MessageType.StartReconciliation);
    expect(asked).toBe(true);
    expect(g.replica(2)).toMatchObject({ status: ReplicaStatus.Reconciliation, view });
    g.runFor(8_000 * ms);
    expect(g.difference()).toBeUndefined();
    expect(g.problems()).toEqual([]);
  });

  it("keeps what came for a view that failed", () => {
    const g = farBehind("PREPAREs");
    const fetched = fetchedRecords(g);
    while (fetched.length < entries / 2) g.runFor(10 * ms);
    const view = g.replica(2).view + 3;
    for (const [from, to] of [
      [1, 2],
      [2, 1],
    ] as const)
      g.startReconciliation(from, to, view);
    g.runFor(8_000 * ms);
    expect(g.replica(2)).toMatchObject({ status: ReplicaStatus.Normal, committed: entries });
    expect(fetched.length).toBeLessThan(1.3 * entries);
    expect(g.problems()).toEqual([]);
  });

  it("is waited for where no majority is left without it, although clients complain", () => {
    const g = new Group({ n: 5, config: { mode: "leader", messageBytes: 2000 } });
    g.intercept = (_from, to, type) => to === 4 && type === MessageType.Prepare;
    for (let i = 1; i <= entries; i++) g.request(makeRecord(1, i), [0]);
    g.runFor(100 * ms);
    expect(g.replica(3).committed).toBe(entries);
    expect(g.replica(4).logEnd).toBe(0);
    g.intercept = () => false;
    g.isolate(1);
    g.isolate(2);
    g.network = { ...slow, minDelayUs: 5 * ms, maxDelayUs: 6 * ms };
    g.request(makeRecord(1, entries + 1), [0]);
    for (let i = 0; i < 30 && g.replica(0).committed <= entries; i++) {
      g.plane(3).onComplaint(g.nowUs, 1 + i, entries + 1);
      g.runFor(50 * ms);
    }
    expect(g.replica(0)).toMatchObject({ view: 0, committed: entries + 1 });
    expect(g.problems()).toEqual([]);
  });
});
