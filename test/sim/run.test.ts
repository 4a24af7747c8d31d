import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { type RunOptions, runSimulations } from "../../src/sim/run.js";

const quick: RunOptions = { ops: 100, workers: 1, print: () => {} };

it("runs several seeds over several cluster sizes and sums them up", async () => {
  const sizes: number[] = [];
  const summary = await runSimulations({
    ...quick,
    seed: 40,
    seeds: 4,
    replicas: [3, 5],
    onResult: (result) => sizes.push(result.parameters.replicas),
  });
  expect(sizes).toEqual([3, 5, 3, 5]);
  expect(summary).toMatchObject({ seeds: 4, passed: 4, failed: 0, linearizable: true, converged: true });
  expect(summary.operations + summary.unknown).toBeGreaterThanOrEqual(400);
  expect(summary.binding.sha256).toBe(createHash("sha256").update(readFileSync(summary.binding.path)).digest("hex"));
});

const compiled = new URL("../../dist/sim/run.js", import.meta.url);

it.skipIf(!existsSync(compiled))("gives the same results in worker threads as in one thread", async () => {
  const { runSimulations: runCompiled } = (await import(compiled.href)) as { runSimulations: typeof runSimulations };
  const traceHashes = async (workers: number) => {
    const hashes = new Map<number, string>();
    await runCompiled({ ...quick, workers, seeds: 6, onResult: (result) => hashes.set(result.seed, result.traceHash) });
    return [...hashes].sort(([a], [b]) => a - b);
  };
  expect(await traceHashes(2)).toEqual(await traceHashes(1));
});

it("prints one JSON object a seed and one for the summary", async () => {
  const lines: string[] = [];
  await runSimulations({ ...quick, seeds: 2, json: true, print: (line) => lines.push(line) });
  const objects = lines.map((line) => JSON.parse(line) as Record<string, unknown>);
  expect(objects).toHaveLength(3);
  expect(objects[0]).toMatchObject({ seed: 1, linearizable: true, converged: true, traceHash: expect.stringMatching(/^[0-9a-f]{64}$/) });
  expect(objects[2]).toHaveProperty("summary.binding.sha256");
});

it("names the seed, the parameters and the command in its text", async () => {
  const lines: string[] = [];
  await runSimulations({ ...quick, seed: 9, print: (line) => lines.push(line) });
  expect(lines.join("\n")).toMatch(/SHA-256 [0-9a-f]{64}[\s\S]*seed 9 {2}n=3 {2}ok[\s\S]*1 of 1 seeds passed/);
});

it("fails a batch that hardly merged unequal logs, unless there are no faults", async () => {
  const calm = await runSimulations({ ...quick, seeds: 10, ops: 1, clients: 1, faults: "light" });
  expect(calm).toMatchObject({ failed: 0, ok: false, reason: expect.stringMatching(/unequal/) });
  expect(await runSimulations({ ...quick, seeds: 10, ops: 1, clients: 1, faults: "none" })).toMatchObject({ ok: true });
});

it.each<[RunOptions, RegExp]>([
  [{ seeds: 0 }, /seeds/],
  [{ seed: -1 }, /seed/],
  [{ seed: 1.5 }, /seed/],
  [{ replicas: 4 }, /3, 5 or 7/],
  [{ replicas: [] }, /3, 5 or 7/],
  [{ clients: 0 }, /clients/],
  [{ ops: 0 }, /ops/],
  [{ workers: 0 }, /workers/],
  [{ faults: "rough" }, /none, light, default/],
])("refuses %j", async (options, message) => {
  await expect(runSimulations({ ...quick, ...options })).rejects.toMatchObject({
    code: "INVALID_OPTION",
    message: expect.stringMatching(message),
  });
});
