/** A backup that lacks thousands of entries when its view begins, on a network whose round trips take longer than a resend period. */
import { describe, expect, it } from "vitest";
import { decodeFetchReply, FetchWhat } from "../../src/control/messages.js";
import { MessageType, ReplicaStatus } from "../../src/data/binding.js";
import { makeRecord } from "./fake-data-plane.js";
import { Group } from "./group.js";

const ms = 1000;
const entries = 3000;
const slow = { lossProbability: 0, duplicateProbability: 0, minDelayUs: 20 * ms, maxDelayUs: 25 * ms, slowProbability: 0 };

/** Replica 2 lacks all entries; 0, the leader, is gone, and 1 leads the next view. */
function farBehind(): Group {
  const g = new Group({ n: 3, config: { mode: "leader", messageBytes: 2000 } });
  g.isolate(2);
  g.runFor(150 * ms);
  for (let i = 1; i <= entries; i++) g.request(makeRecord(1, i), [0]);
  g.runFor(500 * ms);
  expect(g.replica(1).committed).toBe(entries);
  g.isolate(2, false);
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
  it("gets there in that view, without fetching much twice", () => {
    const g = farBehind();
    g.isolate(0);
    const fetched = fetchedRecords(g);
    g.runFor(3_500 * ms);
    expect(g.replica(2)).toMatchObject({ status: ReplicaStatus.Normal, committed: entries, logEnd: entries });
    expect(g.replica(2).view).toBe(g.replica(1).view);
    expect(fetched.length).toBeLessThan(1.2 * entries);
    expect(g.problems()).toEqual([]);
  });

  it("is waited for by its leader, although another replica recovers and needs a reconciliation", () => {
    const g = farBehind();
    g.crash(0);
    g.runFor(300 * ms);
    const { view } = g.replica(1);
    expect(g.replica(2)).toMatchObject({ status: ReplicaStatus.Reconciliation, view });
    g.runFor(500 * ms);
    expect(g.replica(2)).toMatchObject({ status: ReplicaStatus.Reconciliation, view });
    g.runFor(8_000 * ms);
    expect(g.difference()).toBeUndefined();
    expect(g.problems()).toEqual([]);
  });

  it("keeps what came for a view that failed", () => {
    const g = farBehind();
    g.isolate(0);
    const fetched = fetchedRecords(g);
    while (fetched.length < entries / 2) g.runFor(10 * ms);
    g.startReconciliation(1, 2, g.replica(2).view + 2);
    g.startReconciliation(2, 1, g.replica(2).view);
    g.runFor(8_000 * ms);
    expect(g.replica(2)).toMatchObject({ status: ReplicaStatus.Normal, committed: entries });
    expect(fetched.length).toBeLessThan(1.3 * entries);
    expect(g.problems()).toEqual([]);
  });
});
