/** How a transfer shares the time with the clients' operations (src/control/pace.ts). */
import { describe, expect, it } from "vitest";
import type { Context } from "../../src/control/context.js";
import { GroupLoad } from "../../src/control/group-load.js";
import { Pace } from "../../src/control/pace.js";
import { ReplicaStatus } from "../../src/data/binding.js";

const ms = 1000;
const logEntries = 1000;

/** A transfer of a snapshot at 0, two requests a burst, rests three times as long; the group commits 100 entries in 100 ms. */
function pace(options: { status?: number; loaded?: boolean } = {}): { pace: Pace; load: GroupLoad } {
  const load = new GroupLoad();
  load.heard(0, 0);
  if (options.loaded !== false) load.heard(100 * ms, 100);
  const data = { status: options.status ?? ReplicaStatus.Recovery, logEntries };
  return { pace: new Pace({ data, load } as unknown as Context, 2, 3), load };
}

/** Two requests at 100 ms, answered after `tookUs`: when the next may leave. */
function burst(one: Pace, tookUs: number): number {
  const nowUs = 100 * ms;
  for (let i = 0; i < 2; i++) {
    expect(one.goes(nowUs)).toBe(true);
    one.onAsked(nowUs);
  }
  expect(one.goes(nowUs)).toBe(false);
  for (let i = 0; i < 2; i++) one.onAnswered(nowUs + tookUs, 0);
  return one.deadlineUs;
}

describe("a transfer", () => {
  it("rests after each burst while the group commits, in proportion to what the burst took", () => {
    const { pace: one } = pace();
    expect(burst(one, 2 * ms)).toBe(102 * ms + 3 * 2 * ms);
    expect(one.goes(107 * ms)).toBe(false);
    expect(one.goes(108 * ms)).toBe(true);
  });

  it("takes a burst of which something was lost for no longer than others", () => {
    expect(burst(pace().pace, 80 * ms)).toBe(180 * ms + 3 * 5 * ms);
  });

  it.each([
    ["of an idle group", { loaded: false }],
    ["within a reconciliation", { status: ReplicaStatus.Reconciliation }],
  ])("%s does not rest", (_what, options) => {
    const { pace: one } = pace(options);
    burst(one, 2 * ms);
    expect(one.goes(102 * ms)).toBe(true);
  });

  it("does not rest any more once the entries behind it fill a quarter of a log", () => {
    const { pace: one, load } = pace();
    load.heard(101 * ms, logEntries / 4 - 1);
    expect(burst(one, 2 * ms)).toBeGreaterThan(102 * ms);
    one.reset();
    load.heard(102 * ms, logEntries / 4);
    burst(one, 2 * ms);
    expect(one.goes(102 * ms)).toBe(true);
  });

  it("that gets nowhere rests less and less, and at last not at all", () => {
    const { pace: one } = pace();
    one.hurry();
    expect(burst(one, 2 * ms)).toBe(102 * ms + 1.5 * 2 * ms);
    one.reset();
    one.hurry();
    one.hurry();
    burst(one, 2 * ms);
    expect(one.goes(102 * ms)).toBe(true);
  });
});

it("what was heard of a group's load long ago is forgotten", () => {
  const { load } = pace();
  expect(load.busy(100 * ms)).toBe(true);
  expect(load.busy(1_200 * ms)).toBe(false);
  load.heard(3_000 * ms, 100_000);
  expect(load.busy(3_000 * ms)).toBe(false);
});
