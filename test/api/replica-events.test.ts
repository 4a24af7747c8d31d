import { subscribe, unsubscribe } from "node:diagnostics_channel";
import type { ReplicaEvent } from "squall";
import { describe, expect, it, onTestFinished } from "vitest";
import { Mode, ReplicaStatus, StatusWord } from "../../src/data/binding.js";
import { ReplicaObserver } from "../../src/data/replica-observer.js";
import { startGroup, until } from "./support.js";

function observed() {
  const words = new Float64Array(StatusWord.Count);
  const events: ReplicaEvent[] = [];
  const control = { leader: 0, unheard: [] as number[], lastReason: "" };
  const observer = new ReplicaObserver(
    7,
    words,
    () => control,
    (event) => events.push(event),
  );
  words[StatusWord.Status] = ReplicaStatus.Normal;
  return { words, events, control, observer };
}

describe("a replica's events", () => {
  it("tell of each view, why it came, and how long the reconciliation took", () => {
    const { words, events, control, observer } = observed();
    observer.observe(1_000);
    expect(events).toEqual([]);
    Object.assign(control, { leader: 1, lastReason: "the leader is silent" });
    words[StatusWord.View] = 1;
    words[StatusWord.Status] = ReplicaStatus.Reconciliation;
    observer.observe(10_000);
    observer.observe(12_000);
    Object.assign(control, { leader: 2, lastReason: "" });
    words[StatusWord.View] = 2;
    observer.observe(15_000);
    words[StatusWord.Status] = ReplicaStatus.Normal;
    words[StatusWord.Mode] = Mode.Leader;
    observer.installed(30_000, 2, 5, 6);
    observer.observe(31_000);
    expect(events).toEqual([
      { type: "view-changed", replica: 7, view: 1, leader: 1, reason: "the leader is silent" },
      { type: "view-changed", replica: 7, view: 2, leader: 2, reason: "" },
      { type: "installed", replica: 7, view: 2, mode: "leader", rolledBack: 5, installed: 6, durationMs: 20 },
      { type: "mode-switched", replica: 7, view: 2, mode: "leader" },
    ]);
  });

  it("do not take the mode that a life begins with for a switch", () => {
    const { words, events, observer } = observed();
    words[StatusWord.Mode] = Mode.Leader;
    observer.observe(0);
    words[StatusWord.View] = 1;
    observer.installed(1_000, 1, 0, 0);
    expect(events.map(({ type }) => type)).toEqual(["view-changed", "installed"]);
  });

  it("start anew with each reconciliation; one that took no time is told in order, too", () => {
    const { words, events, observer } = observed();
    words[StatusWord.Status] = ReplicaStatus.Reconciliation;
    observer.observe(1_000);
    words[StatusWord.Status] = ReplicaStatus.Normal;
    observer.installed(4_000, 0, 0, 0);
    words[StatusWord.View] = 3;
    observer.installed(9_000, 3, 1, 1);
    expect(events.map((event) => [event.type, "durationMs" in event ? event.durationMs : undefined])).toEqual([
      ["installed", 3],
      ["view-changed", undefined],
      ["installed", 0],
    ]);
  });

  it("tell of checkpoints, and who falls silent and is heard again", () => {
    const { words, events, control, observer } = observed();
    words[StatusWord.Checkpoint] = 128;
    observer.observe(0);
    control.unheard = [1, 2];
    observer.observe(60_000);
    control.unheard = [2];
    observer.observe(120_000);
    control.unheard = [];
    observer.observe(180_000);
    expect(events).toEqual([
      { type: "checkpoint-taken", replica: 7, seqno: 128 },
      { type: "peer-silent", replica: 7, peer: 1 },
      { type: "peer-silent", replica: 7, peer: 2 },
      { type: "peer-heard", replica: 7, peer: 1 },
      { type: "peer-heard", replica: 7, peer: 2 },
    ]);
  });

  it("go out on the diagnostics channel with the cluster's id when replicas disagree", async () => {
    const group = await startGroup();
    const cluster = Buffer.from(group.cluster.group).toString("hex");
    const events: (ReplicaEvent & { cluster: string })[] = [];
    const listener = (event: unknown) => void events.push(event as (typeof events)[number]);
    subscribe("squall:replica", listener);
    onTestFinished(() => void unsubscribe("squall:replica", listener));
    const client = await group.connect();
    client.scramble(true);
    await Promise.all(Array.from({ length: 200 }, (_, i) => client.invoke(Buffer.from(`operation ${i}`))));
    client.scramble(false);
    const of = (replica: number, type: string) => events.filter((event) => event.replica === replica && event.type === type);
    await until(() => [0, 1, 2].every((replica) => of(replica, "installed").length > 0), "each replica installs a view");
    expect(events.every((event) => event.cluster === cluster)).toBe(true);
    for (const replica of [0, 1, 2]) {
      const own = events.filter((event) => event.replica === replica);
      const first = own.findIndex(({ type }) => type === "installed");
      // A view is entered before its log is installed.
      expect(own.slice(0, first).some(({ type }) => type === "view-changed")).toBe(true);
      expect(own[first]).toMatchObject({ mode: "speculative", view: expect.any(Number), durationMs: expect.any(Number) });
    }
    // Somebody began it, for a reason; the others joined.
    expect(events.some((event) => event.type === "view-changed" && event.reason !== "")).toBe(true);
    expect(events.some((event) => event.type === "mode-switched")).toBe(false);
  });

  it("tell that a replica fell silent, and that the others go on in another mode", async () => {
    const group = await startGroup();
    const events: ReplicaEvent[] = [];
    for (const replica of group.replicas) replica.on("event", (event) => events.push(event));
    const client = await group.connect();
    await client.invoke(Buffer.from("before"));
    await group.replicas[1]?.close();
    expect(String(await client.invoke(Buffer.from("after"), { deadlineMs: 10_000 }))).toBe("after");
    for (const replica of [0, 2]) {
      await until(
        () => events.some((event) => event.type === "mode-switched" && event.replica === replica && event.mode === "leader"),
        `replica ${replica} is in LEADER mode`,
      );
      const isTold = (event: ReplicaEvent) => event.type === "peer-silent" && event.replica === replica && event.peer === 1;
      await until(() => events.some(isTold), `replica ${replica} tells of the silence`);
      expect(await group.replicas[replica]?.status()).toMatchObject({ mode: "leader", silent: [1] });
    }
    expect(events.some((event) => event.type === "view-changed" && /replica 1.* is silent|in time/.test(event.reason))).toBe(true);
  });
});
