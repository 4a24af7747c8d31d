import { expect, it } from "vitest";
import { loadBinding } from "../../src/data/load.js";
import { type SimulationOptions, simulate } from "../../src/sim/simulation.js";

const base: Omit<SimulationOptions, "seed"> = { binding: loadBinding(), replicas: 3, clients: 4, operations: 400, faults: "default" };

it("gives the same trace for the same seed, in one process and from the same bytes", () => {
  const first = simulate({ ...base, seed: 21 });
  const second = simulate({ ...base, seed: 21 });
  expect(first.problems).toEqual([]);
  expect({ ...second, wallMs: 0 }).toEqual({ ...first, wallMs: 0 });
  expect(simulate({ ...base, seed: 22 }).traceHash).not.toBe(first.traceHash);
});

it("gives another trace when one byte of one operation changes", () => {
  const plain = simulate({ ...base, seed: 23, faults: "none" });
  const changed = simulate({ ...base, seed: 23, faults: "none", changedOperation: 100 });
  expect(changed.completed).toBe(plain.completed);
  expect(changed.traceHash).not.toBe(plain.traceHash);
});

it.each([3, 5, 7])("is linearizable and converges with %i replicas under all faults", (replicas) => {
  for (let seed = 100; seed < 104; seed++) {
    const result = simulate({ ...base, seed, replicas });
    expect(result.problems).toEqual([]);
    expect(result).toMatchObject({ linearizable: true, converged: true });
    expect(result.completed + result.unknown).toBeGreaterThanOrEqual(base.operations);
  }
});

it.each([
  [3, 6],
  [5, 3],
])("nothing is lost when the power fails at any of %i replicas, and at most f disks fail", { timeout: 60_000 }, (replicas, seeds) => {
  for (let seed = 1; seed <= seeds; seed++) {
    const result = simulate({ ...base, seed, replicas, operations: 120, faults: "disk" });
    expect(result.problems, `seed ${seed}`).toEqual([]);
    expect(result.faultsInjected.powerLoss).toBeGreaterThan(0);
  }
});

it("a machine that fails alone ends no operation", () => {
  // With seven replicas its reply, which says that the operation failed, may be the one with the result, among six that are equal.
  const result = simulate({ ...base, seed: 48, replicas: 7, operations: 150 });
  expect(result.problems).toEqual([]);
  expect(result.faultsInjected.machineFault).toBeGreaterThan(0);
});

it("a machine that fails while a view's log is installed leaves a data directory that can be read", () => {
  for (const seed of [362, 374]) expect(simulate({ ...base, seed, replicas: 5, operations: 150, faults: "disk" }).problems).toEqual([]);
});

it.each([
  [3, 8],
  [5, 4],
  [7, 3],
])("members come and go, from %i replicas on", { timeout: 60_000 }, (replicas, seeds) => {
  let epochs = 0;
  for (let seed = 1; seed <= seeds; seed++) {
    const result = simulate({ ...base, seed, replicas, operations: 120, faults: "members" });
    expect(result.problems, `seed ${seed}`).toEqual([]);
    epochs += result.faultsInjected.epochs ?? 0;
  }
  expect(epochs).toBeGreaterThanOrEqual(seeds);
});

it("members come and go with their disks, and lose power on the way", { timeout: 60_000 }, () => {
  let epochs = 0;
  for (let seed = 1; seed <= 6; seed++) {
    const result = simulate({ ...base, seed, operations: 120, faults: "membersDisk" });
    expect(result.problems, `seed ${seed}`).toEqual([]);
    expect(result.faultsInjected.powerLoss).toBeGreaterThan(0);
    epochs += result.faultsInjected.epochs ?? 0;
  }
  expect(epochs).toBeGreaterThanOrEqual(6);
});

it("a leader that loses power before its epoch is on its disk leads the first view as if it had not before", () => {
  const result = simulate({ ...base, seed: 9000054, operations: 150, faults: "membersDisk" });
  expect(result.problems).toEqual([]);
  expect(result).toMatchObject({ linearizable: true, converged: true });
  expect(result.faultsInjected.epochs).toBeGreaterThan(0);
});

it("the state at the end of an epoch is the same where an operation that threw gave its place to that end", () => {
  expect(simulate({ ...base, seed: 22036, operations: 150, faults: "membersDisk" }).problems).toEqual([]);
});

it("a process that is to join for the second time may retire from the first: another one takes its place", () => {
  expect(simulate({ ...base, seed: 43121, replicas: 5, operations: 150, faults: "members" }).problems).toEqual([]);
});

it("a snapshot of a later view does not go with the START-VIEW of an earlier one", () => {
  expect(simulate({ ...base, seed: 913132, operations: 150, faults: "crash" }).problems).toEqual([]);
});

it("completes everything where there are no faults", () => {
  const result = simulate({ ...base, seed: 5, faults: "none" });
  expect(result.problems).toEqual([]);
  expect(result).toMatchObject({ linearizable: true, converged: true, unknown: 0, refused: 0, completed: base.operations + base.clients });
  expect(result.faultsInjected).toMatchObject({ lost: 0, duplicated: 0, corrupted: 0, blocked: 0, adversaries: 0 });
});

it("writes a readable trace on demand, without changing the run", () => {
  const lines: string[] = [];
  const traced = simulate({ ...base, seed: 24, trace: (_, line) => lines.push(line) });
  expect(simulate({ ...base, seed: 24 }).traceHash).toBe(traced.traceHash);
  expect(lines.some((line) => /client \d+ \w+ \d+\.\w+\(/.test(line))).toBe(true);
  expect(lines).toContain("all faults end");
});
