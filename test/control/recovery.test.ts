/** Replicas that lose their memory, and how they come back. */
import { describe, expect, it } from "vitest";
import { encodeStartReconciliation } from "../../src/control/messages.js";
import { decodeRecoveryQuery } from "../../src/control/recovery-messages.js";
import { Guard, MessageType, ReplicaStatus } from "../../src/data/binding.js";
import { makeRecord, operationOf } from "./fake-data-plane.js";
import { Group, type GroupOptions, storm } from "./group.js";

const ms = 1000;
const x = makeRecord(1, 1, "x");
const y = makeRecord(2, 1, "y");

function group(options: Partial<GroupOptions> = {}): Group {
  return new Group({ n: 3, config: { mode: "adaptive", messageBytes: 700 }, ...options });
}

function load(g: Group, count: number, session: number, replicas?: number[]): void {
  for (let i = 1; i <= count; i++) {
    g.request(makeRecord(session, i), replicas);
    g.runFor(ms);
  }
}

function all(g: Group): number[] {
  return [...g.data.keys()];
}

/** These replicas, and only these, hear each other. */
function connect(g: Group, members: number[]): void {
  for (let a = 0; a < g.n; a++) for (let b = 0; b < g.n; b++) if (a !== b) g.block(a, b, !(members.includes(a) && members.includes(b)));
}

/** What reaches the network from `r`, without RECOVERY-QUERY. */
function said(g: Group, r: number, sinceUs: number): number[] {
  return g.sent.filter((f) => f.from === r && f.atUs >= sinceUs && f.type !== MessageType.RecoveryQuery).map((f) => f.type);
}

describe("a replica that starts without its memory", () => {
  it.each([0, 1, 2])("comes back while the others serve: replica %i", (victim) => {
    for (const mode of ["adaptive", "speculative", "leader"] as const) {
      const g = group({ config: { mode } });
      load(g, 100, 1);
      g.crash(victim);
      load(g, 500, 2);
      g.runFor(1_000 * ms);
      expect(g.problems(), mode).toEqual([]);
      expect(g.difference(), mode).toBeUndefined();
      // Nobody sends again what got lost with a leader.
      expect(g.replica(victim).logEnd, mode).toBeGreaterThan(590);
      expect(g.plane(victim).snapshot).toMatchObject({ incarnation: 2, recovery: undefined });
      expect(g.replica(victim).events.at(-1)).toEqual({ type: "recovered", incarnation: 2 });
    }
  });

  it("in an adaptive group it is missed in a LEADER view, and then the group is SPECULATIVE again", () => {
    const g = group();
    load(g, 100, 1);
    g.crash(2);
    load(g, 300, 2);
    expect(g.replica(0).counts.modeSwitches).toBeGreaterThan(0);
    load(g, 3000, 3);
    expect(g.data.map((data) => [data.status, data.mode])).toEqual([
      [1, 0],
      [1, 0],
      [1, 0],
    ]);
    expect(g.problems()).toEqual([]);
  });

  it("needs no traffic for it, and few reconciliations", () => {
    const g = group();
    load(g, 10, 1);
    g.runFor(100 * ms);
    g.crash(1);
    g.runFor(5_000 * ms);
    expect(g.difference()).toBeUndefined();
    expect(g.replica(0).counts.reconciliations).toBeLessThanOrEqual(3);
  });

  it("says nothing that counts until it takes part again", () => {
    const g = group({ n: 5, config: { mode: "speculative" } });
    load(g, 50, 1);
    g.crash(3);
    const sinceUs = g.nowUs;
    while (g.replica(3).status === ReplicaStatus.Recovery && g.nowUs < 5e6) {
      for (const type of Object.values(MessageType)) {
        if (type !== MessageType.RecoveryAnswer) g.plane(3).onFrame(g.nowUs, 0, type, new Uint8Array(16));
      }
      g.request(makeRecord(2, g.nowUs));
      const types = new Set(said(g, 3, sinceUs));
      if (g.replica(3).status !== ReplicaStatus.Recovery) break;
      types.delete(MessageType.StartReconciliation);
      types.delete(MessageType.Fetch);
      expect([...types]).toEqual([]);
      g.runFor(100);
    }
    expect(g.replica(3).status).toBe(ReplicaStatus.Normal);
  });

  it("waits for f+1 answers in one life, says how many came, and invents nothing", () => {
    const g = group();
    load(g, 50, 1);
    g.runFor(100 * ms);
    g.crash(0);
    g.crash(1);
    g.runFor(20_000 * ms);
    expect(g.data.map((data) => data.status)).toEqual([0, 0, 2]);
    expect(g.plane(0).snapshot.recovery).toEqual({ code: "asking", text: "1 of 2 answers that are needed" });
    expect(g.replica(0).logEnd).toBe(0);
    // Asking grows rare.
    expect(g.countSent(MessageType.RecoveryQuery, g.nowUs - 1_000 * ms)).toBeLessThanOrEqual(2 * 2 * 3);
  });

  it("takes an incarnation above all that f+1 others have heard of, also if it crashes on its way back", () => {
    const g = group();
    load(g, 50, 1);
    for (let i = 2; i <= 6; i++) {
      g.crash(1);
      g.runFor(45 * ms);
    }
    g.crash(1);
    g.runFor(2_000 * ms);
    expect(g.difference()).toBeUndefined();
    const { incarnation } = g.plane(1).snapshot;
    expect(incarnation).toBeGreaterThan(1);
    g.crash(1);
    g.runFor(2_000 * ms);
    expect(g.plane(1).snapshot.incarnation).toBe(incarnation + 1);
    expect(g.problems()).toEqual([]);
  });

  it("that crashes over and over does not make the group thrash", () => {
    const g = group({ n: 5 });
    load(g, 50, 1);
    const { reconciliations } = g.replica(0).counts;
    let committed = 0;
    for (let i = 0; i < 100; i++) {
      g.crash(4);
      load(g, 50, 10 + i, [0, 1, 2, 3, 4]);
      expect(g.replica(0).committed, `round ${i}`).toBeGreaterThan(committed);
      ({ committed } = g.replica(0));
    }
    // Five seconds: at most one for each 200 ms, and one for the loss of each superquorum.
    expect(g.replica(0).counts.reconciliations - reconciliations).toBeLessThan(60);
    expect(g.problems()).toEqual([]);
  });

  it("two at once are served by one reconciliation", () => {
    const g = new Group({ n: 7, config: { mode: "speculative" } });
    load(g, 50, 1);
    g.runFor(100 * ms);
    g.crash(5);
    g.crash(6);
    const { view } = g.replica(0);
    g.runFor(2_000 * ms);
    expect(g.difference()).toBeUndefined();
    expect(g.replica(0).view - view).toBeLessThanOrEqual(2);
  });

  it("a query of a process that is gone, or has recovered since, changes nothing", () => {
    const g = group();
    load(g, 20, 1);
    let query = new Uint8Array(0);
    g.intercept = (from, _to, type, body) => {
      if (from === 2 && type === MessageType.RecoveryQuery) query = Uint8Array.from(body);
      return false;
    };
    g.crash(2);
    g.runFor(3_000 * ms);
    expect(decodeRecoveryQuery(query)).toBeDefined();
    expect(g.difference()).toBeUndefined();
    const { view } = g.replica(0);
    g.frame(2, 0, MessageType.RecoveryQuery, query);
    expect(g.plane(0).snapshot.silent).toEqual([]);
    const trigger = encodeStartReconciliation({ view: 99, incarnation: 2, recovering: true, vector: [1, 1, 2] });
    g.frame(2, 0, MessageType.StartReconciliation, trigger);
    g.runFor(1_000 * ms);
    expect(g.replica(0).view).toBeLessThanOrEqual(view + 1);
    expect(g.plane(0).snapshot.silent).toEqual([]);
  });

  it("the leader that restarts at once is replaced at once", () => {
    const g = group({ config: { mode: "leader" } });
    load(g, 50, 1);
    g.crash(0);
    g.runFor(30 * ms);
    expect(g.replica(1)).toMatchObject({ status: ReplicaStatus.Normal });
    expect(g.replica(1).view % 3).not.toBe(0);
  });

  it("its views are skipped while it recovers", () => {
    const g = group({ n: 5 });
    load(g, 50, 1);
    g.crash(1);
    g.intercept = (from, _to, type) => from === 1 && type !== MessageType.RecoveryQuery;
    g.runFor(100 * ms);
    g.paused[0] = true;
    load(g, 300, 2);
    expect(g.replica(2).view % 5).not.toBe(1);
    expect(g.replica(2).committed).toBe(g.replica(2).logEnd);
  });

  it("a blank group of which nobody has a life stays blank", () => {
    const g = group();
    for (const r of all(g)) g.crash(r);
    g.runFor(10_000 * ms);
    expect(g.data.map((data) => [data.status, data.lifeId])).toEqual([
      [0, undefined],
      [0, undefined],
      [0, undefined],
    ]);
  });
});

// Long time-outs: nothing happens but what the script lets happen.
const slow = { syncMinMs: 20_000, syncMaxMs: 20_000, syncTimeoutMs: 60_000, reconciliationTimeoutMs: 60_000, detectMs: 60_000 };

function log(g: Group, r: number): string {
  return g
    .replica(r)
    .entries.map(({ record }) => Buffer.from(record.subarray(16)).toString())
    .join("");
}

describe("the naive recovery", () => {
  // n = 5: 0 leads and never gets x, which the four others answer. 4 crashes and asks how to come back; then 1 and 2 are gone.
  function trace(guardsOff: number): Group {
    const g = new Group({ n: 5, guardsOff, timing: slow });
    g.runFor(ms);
    g.request(x, [1, 2, 3, 4]);
    g.request(y, [0]);
    g.runFor(ms);
    expect(g.accepted.has(operationOf(x))).toBe(true);
    g.crash(4);
    // The log it copies is 0's. What would make the others reconcile is late.
    g.intercept = (from, to, type, body) => {
      if (type !== MessageType.RecoveryAnswer) return type === MessageType.StartReconciliation;
      const copy = Uint8Array.from(body);
      if (from === 0) g.at(500, () => g.frame(from, to, type, copy));
      return from === 0 || from === 3;
    };
    g.runFor(60 * ms);
    g.intercept = () => false;
    connect(g, [0, 3, 4]);
    g.startReconciliation(3, 0, 5);
    g.runFor(500 * ms);
    return g;
  }

  it("loses an accepted result", () => {
    const g = trace(Guard.RecoverySilence);
    expect(g.replica(0).status).toBe(ReplicaStatus.Normal);
    expect(log(g, 0).indexOf("y")).toBe(0);
    expect(g.problems()[0]).toMatch(/was accepted at 1 and (lost|at 2)/);
  });

  it("is not what happens", () => {
    const g = trace(0);
    // With 1 and 2 gone and 4 not back there is no quorum without what 4 has lost.
    expect(g.replica(4).status).toBe(ReplicaStatus.Recovery);
    expect(g.problems()).toEqual([]);
    connect(g, all(g));
    g.runFor(3_000 * ms);
    expect(g.problems()).toEqual([]);
    expect(g.difference()).toBeUndefined();
    expect(log(g, 0).indexOf("x")).toBe(0);
  });
});

describe("a START-VIEW whose quorum did not know of the crash", () => {
  // n = 3. 0 sent a RECONCILE for view 4, whose leader is 1, with an empty log, and then went on with 2 to view 6, where x is committed.
  // 2 loses its memory. Now the RECONCILE comes, and view 4 begins without x: its quorum is 0 and 1, and does not count 2.
  function trace(guardsOff: number): Group {
    const g = new Group({ n: 3, guardsOff, timing: slow });
    g.runFor(ms);
    let late = new Uint8Array(0);
    g.intercept = (from, to, type, body) => {
      if (from === 0 && to === 1 && type === MessageType.Reconcile) late = Uint8Array.from(body);
      return true;
    };
    g.startReconciliation(1, 0, 4);
    expect(late.length).toBeGreaterThan(0);
    g.request(x, [2]);
    g.intercept = () => false;
    connect(g, [0, 2]);
    g.startReconciliation(2, 0, 6);
    g.runFor(50 * ms);
    expect(g.accepted.get(operationOf(x))).toMatchObject({ seqno: 1 });
    expect(g.replica(0)).toMatchObject({ view: 6, committed: 1 });
    // 1 hears nothing of 0; 2 hears both, and asks nobody to reconcile.
    g.crash(2);
    connect(g, all(g));
    g.intercept = (from, to, type) => (from === 0 && to === 1) || (from === 1 && to === 0) || type === MessageType.StartReconciliation;
    g.runFor(100 * ms);
    expect(g.plane(2).snapshot.recovery?.code).toBe("waiting-for-reconciliation");
    g.frame(0, 1, MessageType.Reconcile, late);
    g.runFor(50 * ms);
    expect(g.replica(1)).toMatchObject({ view: 4, status: ReplicaStatus.Normal });
    return g;
  }

  it("is not installed", () => {
    const g = trace(0);
    expect(g.replica(2).status).toBe(ReplicaStatus.Recovery);
    g.intercept = () => false;
    g.runFor(2_000 * ms);
    expect(g.difference()).toBeUndefined();
    expect(g.problems()).toEqual([]);
    expect(log(g, 2)).toBe("x");
  });

  it("makes what was committed give way to something else without the rule", () => {
    const g = trace(Guard.RecoveryMask);
    expect(g.replica(2)).toMatchObject({ view: 4, status: ReplicaStatus.Normal });
    connect(g, [1, 2]);
    g.intercept = () => false;
    g.request(y, [1, 2]);
    g.startReconciliation(2, 1, 7);
    g.runFor(50 * ms);
    expect(g.problems()[0]).toMatch(/committed different entries at 1/);
  });
});

/**
 * n = 5. 4 froze for view 11, with an empty log, and its RECONCILE to 1, who leads that view, is under way; then it lost its memory and
 * came back. x is accepted by all but 1, which has y. Then 1 and 2 reconcile into view 11, and the RECONCILE comes.
 */
function oldReconcile(guardsOff: number, crashes: number[]): Group {
  const g = new Group({ n: 5, guardsOff, timing: slow });
  g.runFor(ms);
  let late = new Uint8Array(0);
  g.intercept = (from, to, type, body) => {
    if (type === MessageType.Reconcile && to === 1) late = Uint8Array.from(body);
    return from === 4;
  };
  for (const from of [0, 3]) g.startReconciliation(from, 4, 11);
  expect(late.length).toBeGreaterThan(0);
  for (const r of crashes) {
    // 1 is told of views only.
    g.intercept = (_from, to, type) => type === MessageType.StartReconciliation && to === 1;
    g.crash(r);
    g.runFor(1_000 * ms);
    expect(g.replica(r).status).toBe(ReplicaStatus.Normal);
  }
  g.intercept = () => false;
  g.runFor(100 * ms);
  expect(Math.max(...g.data.map((data) => data.view))).toBeLessThan(11);
  expect(g.difference()).toBeUndefined();
  g.request(y, [1]);
  g.request(x, [0, 2, 3, 4]);
  g.runFor(ms);
  expect(g.accepted.has(operationOf(x))).toBe(true);
  connect(g, [1, 2]);
  for (const [from, to] of [
    [2, 1],
    [4, 1],
    [1, 2],
    [4, 2],
  ] as const) {
    g.startReconciliation(from, to, 11);
  }
  g.frame(4, 1, MessageType.Reconcile, late);
  g.runFor(40 * ms);
  return g;
}

describe("a RECONCILE from before a crash", () => {
  it.each([
    ["QuorumIncarnations", [4]],
    ["AdoptVector", [4, 2]],
  ] as const)("makes an accepted result lose its place without %s, and does not count with it", (name, crashes) => {
    const wrong = oldReconcile(Guard[name], [...crashes]);
    expect(wrong.replica(1)).toMatchObject({ view: 11, status: ReplicaStatus.Normal });
    expect(log(wrong, 1)).toBe("yx");
    const g = oldReconcile(0, [...crashes]);
    expect(g.replica(1)).toMatchObject({ view: 11, status: ReplicaStatus.Reconciliation });
    connect(g, all(g));
    g.runFor(3_000 * ms);
    expect(g.problems()).toEqual([]);
    expect(g.difference()).toBeUndefined();
    expect(log(g, 0).startsWith("x")).toBe(true);
  });
});

describe.each([3, 5, 7])("%i replicas, up to f of which lose their memory at a time", (n) => {
  it.each(["speculative", "adaptive", "leader"] as const)("stay safe and converge: %s", (mode) => {
    let crashes = 0;
    for (let seed = 1; seed <= 12; seed++) {
      const g = storm({ n, seed, crashes: true, checkpointEvery: seed % 2 === 0 ? 12 : 0, config: { mode, messageBytes: 700 } });
      expect(g.problems(), `seed ${seed}`).toEqual([]);
      g.runFor(6_000 * ms);
      g.multicast(makeRecord(99, 1, "after the faults"));
      g.runFor(3_000 * ms);
      expect(g.problems(), `seed ${seed}`).toEqual([]);
      expect(g.difference(), `seed ${seed}`).toBeUndefined();
      crashes += g.crashes;
    }
    expect(crashes).toBeGreaterThan(50);
  });
});
