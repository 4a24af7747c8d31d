/**
 * The counter-examples of protocols.md as scripted traces: each rule in force passes, and its absence (a guard switched off) is
 * noticed by the oracles or by what the replicas hold in the end.
 */
import { describe, expect, it } from "vitest";
import { decodeStartView, encodeReconcile, encodeStartReconciliation, encodeStartView } from "../../src/control/messages.js";
import { Guard, MessageType, Mode, ReplicaStatus } from "../../src/data/binding.js";
import { hex, makeRecord, operationOf } from "./fake-data-plane.js";
import { Group, type GroupOptions } from "./group.js";

// Long time-outs: nothing happens but what the script lets happen.
const slow = {
  syncMinMs: 20_000,
  syncMaxMs: 20_000,
  syncTimeoutMs: 60_000,
  reconciliationTimeoutMs: 60_000,
  resendMs: 10,
  heartbeatMs: 30_000,
  detectMs: 60_000,
};
const x = makeRecord(1, 1, "x");
const y = makeRecord(2, 1, "y");
const z = makeRecord(3, 1, "z");

function group(n: number, guardsOff: number, options: Partial<GroupOptions> = {}): Group {
  return new Group({ n, guardsOff, timing: slow, ...options });
}

/** Only these replicas hear each other, both ways. */
function connect(g: Group, members: number[]): void {
  for (let a = 0; a < g.n; a++) for (let b = 0; b < g.n; b++) if (a !== b) g.block(a, b, !(members.includes(a) && members.includes(b)));
}

/** These replicas, and only these, reconcile into `view`; the frames named in `lost` get lost. */
function reconcile(g: Group, view: number, members: number[], lost: number[] = [], forUs = 8_000): void {
  connect(g, members);
  g.intercept = (_from, _to, type) => lost.includes(type);
  const [first, second] = members as [number, number];
  g.startReconciliation(second, first, view);
  g.runFor(forUs);
  g.intercept = () => false;
}

function log(g: Group, r: number): string {
  return g
    .replica(r)
    .entries.map(({ record }) => Buffer.from(record.subarray(16)).toString())
    .join("");
}

describe("v_l is its own variable", () => {
  // B's entry r of view 1 is all of view 2's log; derived from that entry, B's v_l is 1, as A's, whose q then takes r's place.
  function trace(guardsOff: number): Group {
    const g = group(3, guardsOff);
    reconcile(g, 1, [1, 0]);
    expect([g.replica(0).lastNormalView, g.replica(1).lastNormalView, g.replica(2).lastNormalView]).toEqual([1, 1, 0]);
    g.request(x, [0]);
    g.request(y, [1]);
    reconcile(g, 2, [2, 1], [MessageType.Commit]);
    expect(log(g, 2)).toBe("y");
    expect(g.replica(2).committed).toBe(1);
    expect(g.replica(1).committed).toBe(0);
    reconcile(g, 3, [0, 1]);
    return g;
  }

  it("keeps what a view that added nothing committed", () => {
    const g = trace(0);
    expect(log(g, 0)).toBe("y");
    expect(g.problems()).toEqual([]);
  });

  it("loses it without the rule", () => {
    expect(trace(Guard.LastNormalView).problems()[0]).toMatch(/committed different entries/);
  });
});

describe("COMMIT across views", () => {
  // C has [x] of view 0; view 1 starts as [] at A and B; view 3 as [x], committed there. C hears COMMIT(3), then START-VIEW(1).
  function trace(guardsOff: number): Group {
    const g = group(3, guardsOff);
    g.request(x, [2]);
    let startView1 = new Uint8Array(0);
    reconcile(g, 1, [1, 0]);
    expect(log(g, 0)).toBe("");
    const commits: Uint8Array[] = [];
    g.intercept = (_from, to, type, body) => {
      if (to !== 2) return false;
      if (type === MessageType.StartView) startView1 = Uint8Array.from(body);
      return true;
    };
    g.runFor(50_000);
    g.request(x, [0, 1]);
    connect(g, [0, 1]);
    g.intercept = (_from, to, type, body) => {
      if (to === 2 && type === MessageType.Commit) commits.push(Uint8Array.from(body));
      return to === 2;
    };
    g.startReconciliation(1, 0, 3);
    g.runFor(8_000);
    expect(g.replica(0).committed).toBe(1);
    expect(commits.length).toBeGreaterThan(0);
    g.frame(0, 2, MessageType.Commit, commits[0] as Uint8Array);
    expect(startView1.length).toBeGreaterThan(0);
    g.frame(1, 2, MessageType.StartView, startView1);
    return g;
  }

  it("waits for the START-VIEW, which it asks for", () => {
    const g = trace(0);
    expect(g.problems()).toEqual([]);
    expect(g.replica(2)).toMatchObject({ view: 1, committed: 0, logEnd: 0 });
    expect(g.sent.some((frame) => frame.from === 2 && frame.type === MessageType.StartViewRequest)).toBe(true);
    g.intercept = () => false;
    g.heal();
    g.runFor(3_000_000);
    expect(g.difference()).toBeUndefined();
    expect(log(g, 2)).toBe("x");
  });

  it("applied by its hash alone it makes a START-VIEW roll back a committed entry", () => {
    expect(trace(Guard.CommitAcrossViews).problems()[0]).toMatch(/starts with 0 entries, but 1 are committed/);
  });
});

describe("START-VIEW is installed once", () => {
  function trace(guardsOff: number): Group {
    const g = group(3, guardsOff);
    let startView = new Uint8Array(0);
    g.request(x, [0]);
    g.startReconciliation(0, 1, 1);
    g.intercept = (_from, to, type, body) => {
      if (to === 2 && type === MessageType.StartView) startView = Uint8Array.from(body);
      return false;
    };
    g.runFor(8_000);
    g.request(y);
    g.runFor(1_000);
    expect(g.accepted.get(operationOf(y))).toMatchObject({ seqno: 2 });
    g.frame(1, 2, MessageType.StartView, startView);
    return g;
  }

  it("a duplicate brings an IN-VIEW and changes nothing", () => {
    const g = trace(0);
    expect(log(g, 2)).toBe("xy");
    expect(g.sent.at(-1)).toMatchObject({ from: 2, to: 1, type: MessageType.InView });
  });

  it("a duplicate rolls back an accepted operation without the rule", () => {
    expect(log(trace(Guard.InstallOnce), 2)).toBe("x");
  });
});

describe("a leader merges once per view", () => {
  // n = 5: the leader merges the logs of 1, 2 and 3; then 4's RECONCILE comes.
  function trace(guardsOff: number): { g: Group; startViews: Set<string> } {
    const g = group(5, guardsOff);
    const startViews = new Set<string>();
    g.request(x, [4]);
    connect(g, [1, 2, 3]);
    g.intercept = (_from, _to, type, body) => {
      if (type === MessageType.StartView) startViews.add(hex(body));
      return false;
    };
    g.startReconciliation(2, 1, 1);
    g.runFor(8_000);
    expect(startViews.size).toBe(1);
    connect(g, [0, 1, 2, 3, 4]);
    g.intercept = (from, to, type, body) => {
      if (type === MessageType.StartView) startViews.add(hex(body));
      // 4 hears the START-RECONCILIATIONs first, the START-VIEW later.
      return type === MessageType.StartView && from === 1 && to === 4 && g.nowUs < 9_000;
    };
    for (const from of [1, 2]) {
      g.startReconciliation(from, 4, 1);
    }
    g.runFor(500_000);
    return { g, startViews };
  }

  it("and resends the identical START-VIEW", () => {
    const { g, startViews } = trace(0);
    expect(startViews.size).toBe(1);
    expect(g.problems()).toEqual([]);
    expect(g.data.map((_, r) => log(g, r))).toEqual(["", "", "", "", ""]);
    expect(g.data.map((data) => data.view)).toEqual([1, 1, 1, 1, 1]);
  });

  it("two logs of one view appear without the rule", () => {
    const { g, startViews } = trace(Guard.MergeOnce);
    expect(startViews.size).toBe(2);
    expect(g.problems()[0]).toMatch(/entered view 1 with another log/);
  });
});

describe("a RECONCILE counts only with all its operations", () => {
  // The leader of view 1 lacks x, which 0 has; the FETCH for it gets lost at first.
  function trace(guardsOff: number): Group {
    const g = group(3, guardsOff);
    g.request(x, [0]);
    reconcile(g, 1, [1, 0], [MessageType.FetchReply]);
    return g;
  }

  it("the leader fetches before it merges", () => {
    const g = trace(0);
    expect(g.replica(1).status).toBe(ReplicaStatus.Reconciliation);
    g.runFor(50_000);
    expect(log(g, 1)).toBe("x");
    expect(g.problems()).toEqual([]);
  });

  it("the operation is lost without the rule", () => {
    const g = trace(Guard.CompleteReconcile);
    expect(g.replica(1)).toMatchObject({ status: ReplicaStatus.Normal, logEnd: 0 });
    expect(log(g, 0)).toBe("");
  });
});

describe("SYNC-REPLYs commit only with equal hashes", () => {
  function trace(guardsOff: number): Group {
    const g = new Group({ n: 3, guardsOff, timing: { syncEvery: 1 } });
    // The leader falls silent before its COMMIT gets through.
    g.intercept = (_from, _to, type) => type === MessageType.Commit && g.replica(1).view === 0;
    g.request(x, [1, 2]);
    g.request(y, [0]);
    g.runFor(200);
    g.isolate(0);
    g.runFor(500_000);
    g.heal();
    g.runFor(3_000_000);
    return g;
  }

  it("else they start a reconciliation", () => {
    const g = trace(0);
    expect(g.problems()).toEqual([]);
    expect(g.difference()).toBeUndefined();
    // y was in the silent leader's log only, and no client saw it accepted.
    expect(log(g, 0)).toBe("x");
  });

  it("different logs are committed without the rule", () => {
    expect(trace(Guard.CommitHash).problems().length).toBeGreaterThan(0);
  });
});

describe("merge guards", () => {
  // View 1 ends with y at 0 and 1; 2 still has x of view 0.
  it("only the logs of the highest v_l are merged", () => {
    const run = (guardsOff: number): Group => {
      const g = group(3, guardsOff);
      g.request(x, [2]);
      reconcile(g, 1, [1, 0]);
      g.request(y, [0, 1]);
      reconcile(g, 2, [2, 0]);
      return g;
    };
    expect(log(run(0), 2)).toBe("y");
    expect(log(run(Guard.MergeHighestViews), 2)).toBe("yx");
  });

  it("the merge follows the mode of the view the logs come from, not that of the new view", () => {
    // x is accepted by a superquorum of a SPECULATIVE view; of the three that take part, 4 lacks it and has the longest log.
    const run = (guardsOff: number): Group => {
      const g = group(5, guardsOff, { config: { mode: "adaptive" }, timing: { ...slow, heartbeatMs: 10 } });
      g.request(x, [0, 1, 2, 3]);
      g.request(y, [4]);
      g.request(z, [4]);
      g.runFor(1_000);
      expect(g.accepted.has(operationOf(x))).toBe(true);
      reconcile(g, 2, [2, 3, 4], [], 20_000);
      expect(g.replica(2)).toMatchObject({ view: 2, status: ReplicaStatus.Normal, mode: Mode.Leader });
      return g;
    };
    expect(log(run(0), 2)).toBe("xyz");
    expect(log(run(Guard.MergeMode), 2)).toBe("yz");
    expect(run(Guard.MergeMode).problems()[0]).toMatch(/was accepted at 1 and lost/);
  });

  it("what only one of K can hold keeps its place", () => {
    // View 1's log, z then x by the leader's merge, is known to replica 0 alone in view 4's quorum.
    const run = (guardsOff: number): Group => {
      const g = group(3, guardsOff);
      g.request(z, [0, 1]);
      g.request(x, [0, 1]);
      reconcile(g, 1, [1, 0], [MessageType.Commit]);
      expect(log(g, 0)).toBe("zx");
      expect(g.replica(1).committed).toBe(2);
      reconcile(g, 2, [2, 0]);
      return g;
    };
    const good = run(0);
    expect(log(good, 2)).toBe("zx");
    expect(good.problems()).toEqual([]);
    expect(run(Guard.MergeThreshold).problems()[0]).toMatch(/committed different entries|summary hash/);
  });
});

describe("installing", () => {
  it("rolls back only where the logs differ, resolves moved operations from the own log and fetches the others", () => {
    const g = group(3, 0);
    const [a, b, c] = [makeRecord(4, 1, "a"), makeRecord(4, 2, "b"), makeRecord(4, 3, "c")];
    for (const record of [a, x, y, b]) g.request(record, [1, 2]);
    for (const record of [a, y, c, x]) g.request(record, [0]);
    g.startReconciliation(0, 1, 1);
    g.runFor(8_000);
    expect(log(g, 0)).toBe("axybc");
    expect(g.difference()).toBeUndefined();
    expect(g.replica(0).installs).toEqual([{ view: 1, keepTo: 1, records: 4 }]);
    expect(g.replica(2).installs).toEqual([{ view: 1, keepTo: 4, records: 1 }]);
    // The leader answers for what it committed; the others' answers went out with the install.
    expect(g.replica(1).answered.at(-1)).toEqual([1, 5]);
  });

  it("brings a replica that lacks committed entries up to date", () => {
    const g = group(5, 0, { config: { messageBytes: 700 } });
    for (let i = 1; i <= 100; i++) g.request(makeRecord(9, i), [0, 1, 2, 3]);
    reconcile(g, 1, [1, 0, 2, 3], [], 60_000);
    expect(g.replica(1).committed).toBe(100);
    connect(g, [0, 1, 2, 3, 4]);
    g.runFor(2_000_000);
    expect(g.difference()).toBeUndefined();
    expect(g.replica(4).logEnd).toBe(100);
  });

  it("a leader that lacks committed entries fetches them before it merges", () => {
    const g = group(5, 0, { config: { messageBytes: 700 } });
    for (let i = 1; i <= 100; i++) g.request(makeRecord(9, i), [0, 1, 2, 3]);
    g.request(x, [4]);
    reconcile(g, 1, [1, 0, 2, 3], [], 60_000);
    g.request(y, [0, 2]);
    reconcile(g, 4, [4, 0, 2], [], 60_000);
    expect(g.replica(4)).toMatchObject({ view: 4, status: ReplicaStatus.Normal, committed: 101 });
    expect(log(g, 4).endsWith("y")).toBe(true);
    expect(g.problems()).toEqual([]);
  });

  it("refuses a log that is shorter than what is committed", () => {
    const g = new Group({ n: 3 });
    g.request(x);
    g.runFor(100_000);
    const bad = {
      view: 1,
      mode: 0,
      mask: 3,
      logBase: 0,
      base: 0,
      baseHash: new Uint8Array(32),
      end: 0,
      endHash: new Uint8Array(32),
      minVector: [1, 1, 1],
      maxVector: [1, 1, 1],
    };
    g.frame(1, 2, MessageType.StartView, encodeStartView({ ...bad, rows: new Uint8Array(0) }));
    expect(g.replica(2).failures[0]).toMatch(/1 are committed/);
    expect(log(g, 2)).toBe("x");
  });

  it("any replica in the view hands out the identical START-VIEW", () => {
    const g = group(5, 0);
    const bodies = new Map<number, string>();
    g.request(x, [0, 1]);
    g.request(y, [2, 3]);
    reconcile(g, 1, [1, 0, 2, 3]);
    connect(g, [0, 1, 2, 3, 4]);
    g.intercept = (from, to, type, body) => {
      if (type === MessageType.StartView && to === 4) bodies.set(from, hex(body));
      return to === 4;
    };
    g.runFor(50_000);
    for (const from of [0, 2, 3]) {
      g.startReconciliation(4, from, 1);
    }
    g.runFor(1_000_000);
    expect([...bodies.keys()].sort()).toEqual([0, 1, 2, 3]);
    expect(new Set(bodies.values()).size).toBe(1);
    expect(decodeStartView(Buffer.from(bodies.get(1) as string, "hex"))).toMatchObject({ view: 1, base: 0, end: 2, mask: 0b01111 });
  });
});

describe("crash vectors", () => {
  // Replica 1 leads view 4 and knows that 0 has crashed since; a RECONCILE of the process before comes late.
  function trace(guardsOff: number): Group {
    const g = group(3, guardsOff);
    connect(g, [1]);
    g.frame(
      2,
      1,
      MessageType.StartView,
      encodeStartView({
        view: 3,
        mode: 0,
        mask: 6,
        logBase: 0,
        base: 0,
        baseHash: new Uint8Array(32),
        end: 0,
        endHash: new Uint8Array(32),
        minVector: [2, 1, 1],
        maxVector: [2, 1, 1],
        rows: new Uint8Array(0),
      }),
    );
    expect(g.replica(1)).toMatchObject({ view: 3, status: ReplicaStatus.Normal });
    const late = {
      view: 4,
      lastNormalView: 0,
      mode: 0,
      incarnation: 1,
      base: 0,
      committed: 0,
      committedHash: new Uint8Array(32),
      accepted: 0,
      end: 0,
    };
    g.frame(0, 1, MessageType.Reconcile, encodeReconcile({ ...late, vector: [1, 1, 1], rows: new Uint8Array(0) }));
    g.runFor(30_000);
    return g;
  }

  it("a RECONCILE of an earlier incarnation than a member knows of is left out", () => {
    const g = trace(0);
    expect(g.replica(1).status).toBe(ReplicaStatus.Reconciliation);
    connect(g, [1, 2]);
    g.runFor(30_000);
    expect(g.replica(1).status).toBe(ReplicaStatus.Normal);
    expect(g.problems()).toEqual([]);
  });

  it("it counts without the rule", () => {
    expect(trace(Guard.QuorumIncarnations).replica(1).status).toBe(ReplicaStatus.Normal);
  });

  it("a process in whose place another one recovered stops, once f others know of that", () => {
    const g = group(5, 0);
    const body = encodeStartReconciliation({ view: 1, incarnation: 1, recovering: false, vector: [2, 1, 1, 1, 1] });
    g.frame(1, 0, MessageType.StartReconciliation, body);
    expect(g.replica(0).failures).toEqual([]);
    g.frame(2, 0, MessageType.StartReconciliation, body);
    expect(g.replica(0).failures[0]).toMatch(/later process/);
  });
});
