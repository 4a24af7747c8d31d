import { type ReplicaReport, type StatusSample, watchStatus } from "squall";
import { describe, expect, it } from "vitest";
import { describeSample } from "../../src/cli/status-view.js";
import { ratesBetween } from "../../src/rates.js";
import { startGroup } from "./support.js";

async function reports(): Promise<{ group: Awaited<ReturnType<typeof startGroup>>; first: ReplicaReport }> {
  const group = await startGroup();
  return { group, first: (await group.replicas[0]?.status()) as ReplicaReport };
}

describe("rates", () => {
  it("are differences by the replica's own clock", async () => {
    const { first } = await reports();
    const later: ReplicaReport = {
      ...first,
      uptimeMs: first.uptimeMs + 2_000,
      committed: first.committed + 100,
      counters: { ...first.counters, rolledBack: first.counters.rolledBack + 7, dropped: { badTag: 4, replayed: 1 } },
    };
    expect(ratesBetween({ ...first, counters: { ...first.counters, dropped: { replayed: 1 } } }, later)).toMatchObject({
      committed: 50,
      rolledBack: 3.5,
      reconciliations: 0,
      dropped: { badTag: 2 },
    });
  });

  it("are none of two processes, nor of one report", async () => {
    const { first } = await reports();
    expect(ratesBetween(first, first)).toBeUndefined();
    expect(ratesBetween(first, { ...first, bootId: "00", uptimeMs: first.uptimeMs + 1_000 })).toBeUndefined();
  });
});

describe("watchStatus", () => {
  it("samples until its signal, and misses who is gone", async () => {
    const { group } = await reports();
    const client = await group.connect();
    const controller = new AbortController();
    const samples: StatusSample[] = [];
    for await (const sample of watchStatus({ cluster: group.cluster, intervalMs: 50, signal: controller.signal })) {
      samples.push(sample);
      if (samples.length === 2) await client.invoke(Buffer.from("x"));
      if (samples.length === 4) await group.replicas[2]?.close();
      if (samples.some(({ replicas }) => replicas[2] === undefined)) controller.abort();
    }
    expect(samples[0]?.replicas[0]).not.toHaveProperty("rates");
    expect(Math.max(...samples.map(({ replicas }) => replicas[0]?.rates?.committed ?? 0))).toBeGreaterThan(0);
    expect(samples.at(-1)?.replicas[0]).toMatchObject({ id: 0 });
  });
});

describe("the live view", () => {
  it("marks the leader, who lags and who is missing; leaves columns out rather than break lines", async () => {
    const { first } = await reports();
    const behind: ReplicaReport = {
      ...first,
      id: 1,
      committed: first.committed,
      silent: [2],
      status: "reconciliation",
      reason: "the leader is silent",
    };
    const ahead = { ...first, committed: first.committed + 1_234, speculative: first.committed + 1_240 };
    const rates = { ...ratesBetween(first, { ...first, uptimeMs: first.uptimeMs + 1 }), dropped: { badTag: 2.5 } } as never;
    const sample: StatusSample = { timeMs: 0, replicas: [{ ...ahead, rates }, behind, undefined] };
    const wide = describeSample(sample, Number.POSITIVE_INFINITY).split("\n");
    expect(wide[0]).toContain("1970-01-01 00:00:00 UTC");
    expect(wide[2]).toMatch(/^0 leads +normal +0 +speculative +\S+ +\+6 +0 /);
    expect(wide[3]).toMatch(/^1 +reconciliation +0 +speculative +\S+ +\+0 +1,234 /);
    expect(wide[4]).toBe("2        no answer");
    expect(wide.slice(5)).toEqual([
      "replica 1 reconciles: the leader is silent",
      "replica 1 does not hear replica 2",
      "replica 0 drops a second: badTag 2.5",
    ]);
    for (const width of [60, 80, 100, 140]) {
      const lines = describeSample(sample, width).split("\n");
      for (const line of lines.slice(0, 5)) expect(line.length).toBeLessThanOrEqual(width);
      expect(lines[1]).toMatch(/^replica +status .*ops\/s/);
    }
  });
});
