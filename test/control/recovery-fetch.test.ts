/** How a replica that lost its memory fetches what the group has committed meanwhile. */
import { describe, expect, it } from "vitest";
import { encodeFetchReply, FetchWhat } from "../../src/control/messages.js";
import { MessageType, ReplicaStatus } from "../../src/data/binding.js";
import { makeRecord } from "./fake-data-plane.js";
import { Group } from "./group.js";

const ms = 1000;

describe("a replica that starts without its memory", () => {
  it("fetches a snapshot and the entries behind it before it asks for a reconciliation", () => {
    const g = new Group({ n: 5, checkpointEvery: 2000, config: { mode: "leader" } });
    for (let i = 1; i <= 11_000; i++) {
      g.request(makeRecord(1, i));
      if (i % 50 === 0) g.runFor(ms);
    }
    g.crash(4);
    const states = new Set<string>();
    const { view } = g.replica(0);
    while (g.replica(4).status === ReplicaStatus.Recovery && g.nowUs < 10e6) {
      const { recovery } = g.plane(4).snapshot;
      if (recovery) states.add(recovery.text.replace(/\d+/g, "N"));
      // Nothing about views is said before the log is about there.
      if (g.replica(4).logEnd < 6_000) expect(g.replica(0).view).toBe(view);
      g.runFor(ms);
    }
    g.runFor(100 * ms);
    expect(g.replica(4).restores).toHaveLength(1);
    expect(g.difference()).toBeUndefined();
    expect([...states].slice(0, 2)).toEqual(["N of N answers that are needed", "fetching the snapshot, N%"]);
    const codes = g.replica(4).events.flatMap((event) => (event.type === "recovery-progress" ? [event.code] : []));
    expect(codes).toEqual(["asking", "fetching-snapshot", "waiting-for-reconciliation"]);
  });

  it("asks no leader, and hears no requests before its log is nearly there", () => {
    const g = new Group({ n: 3, checkpointEvery: 2000, config: { mode: "leader" } });
    for (let i = 1; i <= 11_000; i++) {
      g.request(makeRecord(1, i));
      if (i % 50 === 0) g.runFor(ms);
    }
    g.crash(2);
    const asked = new Set<number>();
    g.intercept = (from, to, type, body) => {
      if (type === MessageType.Fetch || type === MessageType.FetchSnapshot) asked.add(to);
      // The leader's answer is the one that makes them enough.
      if (type !== MessageType.RecoveryAnswer || from !== 0) return false;
      const late = Uint8Array.from(body);
      g.at(5 * ms, () => g.frame(from, to, type, late));
      return true;
    };
    const heard = new Map<string, boolean>();
    while (g.replica(2).status === ReplicaStatus.Recovery && g.nowUs < 10e6) {
      const { code } = g.plane(2).snapshot.recovery!;
      heard.set(code, g.replica(2).hears);
      g.runFor(100);
    }
    expect([...heard]).toEqual([
      ["asking", true],
      ["fetching-snapshot", false],
      ["waiting-for-reconciliation", true],
    ]);
    expect([...asked]).toEqual([1]);
    expect(g.replica(2).hears).toBe(true);
  });

  it("fetches entries where there is no snapshot, and from another when its source dies", () => {
    const g = new Group({ n: 5, config: { mode: "leader", messageBytes: 4000 } });
    for (let i = 1; i <= 9_000; i++) {
      g.request(makeRecord(1, i));
      if (i % 50 === 0) g.runFor(ms);
    }
    g.crash(4);
    let source = -1;
    g.intercept = (_from, to, type) => {
      if (type === MessageType.FetchReply && source < 0 && g.replica(4).logEnd > 4_000) {
        source = _from;
        g.at(0, () => {
          g.paused[source] = true;
        });
      }
      return to === source;
    };
    g.runFor(3_000 * ms);
    expect(source).toBeGreaterThanOrEqual(0);
    g.paused[source] = false;
    g.intercept = () => false;
    g.runFor(2_000 * ms);
    expect(g.problems()).toEqual([]);
    expect(g.difference()).toBeUndefined();
    expect(g.replica(4).restores).toEqual([]);
  });

  it("fetches entries in several requests at a time, and what overtook a lost reply is kept", () => {
    const g = new Group({ n: 3, config: { mode: "leader", messageBytes: 4000 } });
    for (let i = 1; i <= 12_000; i++) {
      g.request(makeRecord(1, i));
      if (i % 50 === 0) g.runFor(ms);
    }
    g.crash(2);
    let replies = 0;
    let asked = 0;
    let most = 0;
    const refused: number[] = [];
    const { frame } = g;
    g.frame = (from, to, type, body) => {
      const fits = frame.call(g, from, to, type, body);
      if (!fits) refused.push(type);
      return fits;
    };
    g.network = { ...g.network, minDelayUs: 2_000, maxDelayUs: 2_100 };
    g.intercept = (from, to, type) => {
      if (type === MessageType.Fetch) asked++;
      if (replies < 7) most = Math.max(most, asked - replies);
      if (type !== MessageType.FetchReply) return false;
      // After a time-out other parts may be asked for than those that come late: one that begins within what comes next.
      if (++replies % 5 === 0) {
        const { view, logEnd } = g.replica(to);
        const first = Math.min(logEnd + 10, 12_000);
        const run = g.replica(from).committedRun(first, 12_000, 4000);
        const late = encodeFetchReply({ view, what: FetchWhat.Committed, from: first, committed: 12_000, run });
        g.at(0, () => g.frame(from, to, type, late));
      }
      return replies % 7 === 0;
    };
    g.runFor(5_000 * ms);
    expect(most).toBe(4);
    expect(refused).toEqual([]);
    expect(g.replica(2)).toMatchObject({ status: ReplicaStatus.Normal, committed: 12_000 });
    // A seventh is lost; with each of them what was asked for behind it, as far as it had not come.
    expect(asked).toBeLessThan(1.5 * Math.ceil(12_000 / 60));
    expect(g.replica(2).restores).toEqual([]);
    expect(g.problems()).toEqual([]);
  });
});
