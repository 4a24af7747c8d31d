import { describe, expect, it } from "vitest";
import {
  type Configuration,
  configurationOf,
  decodeConfiguration,
  decodeNewEpoch,
  encodeConfiguration,
  encodeNewEpoch,
  firstViewOf,
  reconfigurationRecord,
  ViewsPerEpoch,
} from "../../src/control/membership.js";
import { Group } from "./group.js";

const bootId = "ab".repeat(16);
const configuration: Configuration = {
  epoch: 1,
  members: [
    { address: { ip: "10.0.0.9", port: 7100 }, bootId },
    { address: { loop: 1 }, from: 1 },
    { address: { ip: "::1", port: 7102 }, from: 2 },
  ],
  leaving: [{ ip: "10.0.0.1", port: 7100 }],
};

describe("configurations", () => {
  it("survive a round trip, alone, in a log's record and in NEW-EPOCH", () => {
    const bytes = encodeConfiguration(configuration);
    expect(decodeConfiguration(bytes)).toEqual(configuration);
    expect(configurationOf(reconfigurationRecord(bytes, 1))).toEqual(configuration);
    const message = { life: bootId, configuration, to: 2, seqno: 7, hash: "cd".repeat(32), holders: 6 };
    expect(decodeNewEpoch(encodeNewEpoch(message))).toEqual(message);
    expect(decodeNewEpoch(encodeNewEpoch({ ...message, to: 3 }))).toBeUndefined();
  });

  it("are refused when malformed", () => {
    const [joins, second, third] = configuration.members as [
      (typeof configuration.members)[0],
      (typeof configuration.members)[0],
      (typeof configuration.members)[0],
    ];
    const wrong: unknown[] = [
      { ...configuration, epoch: 0 },
      { ...configuration, members: [joins, second] },
      { ...configuration, members: [joins, second, { ...third, from: 1 }] },
      { ...configuration, members: [joins, second, { ...third, from: undefined }] },
      { ...configuration, members: [{ ...joins, bootId: "ab" }, second, third] },
      { ...configuration, members: [{ ...joins, address: { ip: "10.0.0.9", port: -1 } }, second, third] },
      { ...configuration, members: [joins] },
      { ...configuration, leaving: ["10.0.0.1:7100"] },
      [],
      null,
    ];
    for (const one of wrong) expect(decodeConfiguration(Buffer.from(JSON.stringify(one))), JSON.stringify(one)).toBeUndefined();
    expect(configurationOf(new Uint8Array(40))).toBeUndefined();
  });

  it("begin in a view whose leader was a member before", () => {
    expect(firstViewOf(configuration)).toBe(ViewsPerEpoch + (ViewsPerEpoch % 3 === 0 ? 1 : 0));
    const view = firstViewOf({ ...configuration, members: [...configuration.members].reverse() });
    expect(configuration.members.length - 1 - (view % 3)).not.toBe(0);
  });
});

it("a merge puts the reconfiguration that is asked for last, once, and later merges keep it there", () => {
  const record = reconfigurationRecord(encodeConfiguration(configuration), 1);
  let asked = false;
  const g = new Group({ n: 3, config: { reconfiguration: () => (asked ? { epoch: 1, record } : undefined) } });
  g.runFor(20_000);
  asked = true;
  g.plane(1).reconfigure(g.nowUs);
  g.runFor(500_000);
  const { logEnd } = g.replica(0);
  for (const data of g.data) {
    expect(data.view).toBeGreaterThan(0);
    expect(data.committed).toBe(logEnd);
    expect(configurationOf(data.record(logEnd))).toEqual(configuration);
  }
  g.plane(2).reconfigure(g.nowUs);
  g.runFor(500_000);
  for (const data of g.data) expect(data.logEnd).toBe(logEnd);
  expect(g.violations).toEqual([]);
});
