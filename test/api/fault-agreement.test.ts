import { describe, expect, it } from "vitest";
import { FaultAgreement } from "../../src/data/fault-agreement.js";

const hashAt = (seqno: number) => Buffer.alloc(32, seqno);
const digestOf = (text: string) => Buffer.from(text.padEnd(32));

/** Replicas whose messages arrive at once, unless cut off. */
function group(n: number) {
  const resumed: number[][] = Array.from({ length: n }, () => []);
  const executed = new Array<number>(n).fill(100);
  const cut = new Set<number>();
  let nowUs = 0;
  const members: FaultAgreement[] = [];
  const deliver = (from: number, to: number, body: Uint8Array) => {
    if (!cut.has(from) && !cut.has(to) && from !== to) members[to]?.onMessage(nowUs, from, body);
  };
  for (let id = 0; id < n; id++) {
    members.push(
      new FaultAgreement(id, n, {
        send: (to, body) => {
          for (let other = 0; other < n; other++) if (to === -1 || to === other) deliver(id, other, body);
        },
        executed: () => executed[id] as number,
        hashAt,
        resume: (seqno) => void (resumed[id] as number[]).push(seqno),
      }),
    );
  }
  return {
    resumed,
    executed,
    cut,
    throwAt(id: number, seqno: number, text = "same") {
      executed[id] = seqno;
      (members[id] as FaultAgreement).begin(nowUs, seqno, hashAt(seqno), digestOf(text));
    },
    run(ms: number) {
      for (const end = nowUs + ms * 1000; nowUs < end; nowUs += 10_000)
        for (const [id, member] of members.entries()) if (!cut.has(id)) member.onTimer(nowUs);
    },
  };
}

describe("agreement on a failed operation", () => {
  it("goes on at once when all failed alike", () => {
    const g = group(3);
    for (const id of [0, 1, 2]) g.throwAt(id, 7);
    g.run(20);
    expect(g.resumed).toEqual([[7], [7], [7]]);
  });

  it("leaves a replica that failed alone standing", () => {
    const g = group(3);
    g.throwAt(1, 7);
    g.run(3000);
    expect(g.resumed).toEqual([[], [], []]);
  });

  it("leaves replicas standing that failed in different ways", () => {
    const g = group(3);
    for (const id of [0, 1, 2]) g.throwAt(id, 7, `error ${id}`);
    g.run(3000);
    expect(g.resumed.flat()).toEqual([]);
  });

  it("waits for a replica that has not got there, not for a silent one", () => {
    const g = group(3);
    g.executed[2] = 3;
    g.throwAt(0, 7);
    g.throwAt(1, 7);
    g.run(3000);
    expect(g.resumed.flat()).toEqual([]);
    g.cut.add(2);
    g.run(1100);
    expect(g.resumed).toEqual([[7], [7], []]);
    g.cut.delete(2);
    g.throwAt(2, 7);
    g.run(50);
    expect(g.resumed[2]).toEqual([7]);
  });

  it("never goes on with a minority", () => {
    const g = group(5);
    g.throwAt(0, 7);
    g.throwAt(1, 7);
    for (const id of [2, 3, 4]) g.cut.add(id);
    g.run(5000);
    expect(g.resumed.flat()).toEqual([]);
  });

  it("drops messages of a wrong length or sender", () => {
    const resumed: number[] = [];
    const member = new FaultAgreement(0, 3, { send: () => {}, executed: () => 0, hashAt, resume: (seqno) => void resumed.push(seqno) });
    member.onMessage(0, 1, new Uint8Array(5));
    member.onMessage(0, 9, new Uint8Array(73));
    expect(resumed).toEqual([]);
  });
});
