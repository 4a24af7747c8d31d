/** A disaster among five on the loop: two lose their memory, one is cut off with its own, two are left; an operator begins a new life. */
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { encodeNewLife, type NewLifeMessage } from "../../src/control/new-life.js";
import { MessageType, ReplicaStatus, StatusWord } from "../../src/data/binding.js";
import { hex } from "../../src/data/hashing.js";
import type { SimulatedCluster } from "../../src/sim/cluster.js";
import type { Oracle } from "../../src/sim/oracle.js";
import { ScriptedCluster } from "./scripted-cluster.js";

const newLife = "ab".repeat(16);

let scripted: ScriptedCluster;
let cluster: SimulatedCluster;
let oracle: Oracle;
let answers: { state: string; reason?: string; seqno?: number; hash?: string }[];

beforeEach(() => {
  answers = [];
  scripted = new ScriptedCluster("new life", { replicas: 5 });
  ({ cluster, oracle } = scripted);
});

afterEach(() => cluster.close());

const run = (ms: number): void => scripted.run(ms);
function operate(): boolean {
  const done = scripted.operate(200);
  run(50); // until it is committed
  return done;
}
const host = (place: number) => scripted.host(place);
const word = (place: number, which: number): number => host(place).words[which] as number;

function cutOff(place: number, blocked: boolean): void {
  const port = cluster.replicaPorts[place] as number;
  for (const other of [...cluster.replicaPorts, ...cluster.clientPorts]) {
    if (other === port) continue;
    cluster.hub.setBlocked(port, other, blocked);
    cluster.hub.setBlocked(other, port, blocked);
  }
}

/** As `squall recover` has it: replica 3 keeps its state, 0, 1 and 4 join, 2 is absent. */
function message(life = newLife): NewLifeMessage {
  const members = cluster.replicaPorts.map((loop, place) =>
    place === 3
      ? { address: { loop }, from: 3 }
      : { address: { loop }, bootId: place === 2 && life === newLife ? "0".repeat(32) : hex(host(place).bootId) },
  );
  return {
    formerLife: hex(host(3).engine.lifeId() as Uint8Array),
    life,
    configuration: { epoch: host(3).epoch + 1, members, leaving: [] },
    bootId: hex(host(3).bootId),
    untilUptimeMs: 60_000,
  };
}

function order(place: number, content: NewLifeMessage): (typeof answers)[0] | undefined {
  const tool = scripted.tool([place], (type, _from, body) => {
    if (type === MessageType.ReconfigureAnswer) answers.push(JSON.parse(Buffer.from(body).toString()));
  });
  for (let i = 0; i < 5; i++) {
    tool.ask(0, MessageType.NewLife, encodeNewLife(content));
    run(5);
  }
  tool.close();
  return answers.at(-1);
}

function disaster(): void {
  for (let i = 0; i < 20; i++) expect(operate()).toBe(true);
  cutOff(2, true);
  for (const place of [0, 1]) cluster.crash(place);
  run(100);
  for (const place of [0, 1]) scripted.restart(place);
  run(500);
}

describe("a new life", () => {
  it("is refused while the group can go on by itself", () => {
    expect(operate()).toBe(true);
    expect(order(3, message())).toMatchObject({ state: "refused", reason: "not-lost" });
    expect(word(3, StatusWord.Status)).toBe(ReplicaStatus.Normal);
    expect(operate()).toBe(true);
  });

  it("begins with all that the chosen one holds; others join it, and who is left of the former life does not come back", () => {
    disaster();
    expect(operate()).toBe(false);
    const end = word(3, StatusWord.LogEnd);
    const first = message();
    const begun = order(3, first);
    expect(begun).toMatchObject({ state: "done", seqno: end });
    // Replica 4 has its memory, of the former life, and must be told to join.
    expect(word(4, StatusWord.Status)).toBe(ReplicaStatus.Reconciliation);
    const to4 = { ...first, bootId: hex(host(4).bootId) };
    order(4, { ...to4, formerLife: "0".repeat(32) });
    expect(answers.at(-1)).toMatchObject({ state: "refused", reason: "other-life" });
    expect(order(4, first)).toMatchObject({ state: "refused", reason: "expired" });
    expect(order(4, { ...to4, untilUptimeMs: 100 })).toMatchObject({ state: "refused", reason: "expired" });
    const told = { ...to4, end: { seqno: begun?.seqno as number, hash: begun?.hash as string } };
    order(4, told);
    run(1000);
    for (const place of [0, 1, 3, 4]) {
      expect(hex(host(place).engine.lifeId() as Uint8Array)).toBe(newLife);
      expect(word(place, StatusWord.Status)).toBe(ReplicaStatus.Normal);
    }
    expect(operate()).toBe(true);

    // Replica 2 thaws: in its former life it is alone, and the new one does not take its memory for a member's.
    const view = word(3, StatusWord.View);
    cutOff(2, false);
    run(1000);
    expect(hex(host(2).engine.lifeId() as Uint8Array)).not.toBe(newLife);
    expect(word(2, StatusWord.Status)).toBe(ReplicaStatus.Reconciliation);
    expect(word(3, StatusWord.View)).toBe(view);
    cluster.crash(2);
    run(10);
    scripted.restart(2);
    run(2000);
    expect(hex(host(2).engine.lifeId() as Uint8Array)).toBe(newLife);
    expect(operate()).toBe(true);
    expect(cluster.disagreement()).toBeUndefined();
    expect(oracle.violations).toEqual([]);

    // A second disaster: those who start again are told of the life that is over, and must not be held there.
    for (const place of [0, 1, 2]) cluster.crash(place);
    run(100);
    for (const place of [0, 1, 2]) scripted.restart(place);
    run(1000);
    expect(hex(host(0).engine.lifeId() as Uint8Array)).toBe(newLife);
    const third = { ...message("cd".repeat(16)) };
    const { seqno, hash } = order(3, third) as { seqno: number; hash: string };
    order(4, { ...third, bootId: hex(host(4).bootId), end: { seqno, hash } });
    run(2000);
    for (const place of [0, 1, 2, 3, 4]) expect(hex(host(place).engine.lifeId() as Uint8Array)).toBe(third.life);
    expect(operate()).toBe(true);
    expect(cluster.disagreement()).toBeUndefined();
    expect(oracle.violations).toEqual([]);
  });
});
