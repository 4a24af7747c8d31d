/** The protocols to compare with, under the same faults and the same checker as Speculative Paxos. */
import { expect, it } from "vitest";
import { loadBinding } from "../../src/data/load.js";
import { runSimulations } from "../../src/sim/run.js";
import { type SimulationResult, simulate } from "../../src/sim/simulation.js";

const binding = loadBinding();

function run(
  protocol: "paxos" | "paxos-batching" | "fast-paxos" | "unreplicated",
  faults: string,
  seed: number,
  replicas: number,
): SimulationResult {
  return simulate({ binding, protocol, faults, seed, replicas, clients: 4, operations: 150 });
}

it.each(["paxos", "paxos-batching", "fast-paxos"] as const)("%s is linearizable and converges under all faults", (protocol) => {
  let merged = 0;
  let killed = 0;
  for (const faults of ["default", "mutation", "crash", "harsh"]) {
    for (let seed = 300; seed < 300 + (protocol === "fast-paxos" ? 4 : 2); seed++) {
      const result = run(protocol, faults, seed, seed % 2 ? 5 : 3);
      expect(result.problems, `${faults}, seed ${seed}`).toEqual([]);
      expect(result).toMatchObject({ linearizable: true, converged: true });
      merged += result.mergedUnequal;
      killed += result.faultsInjected.killed!;
    }
  }
  expect(merged).toBeGreaterThan(2);
  expect(killed).toBeGreaterThan(2);
});

it.each(["disk", "powerLoss", "membersDisk"])("Fast Paxos on disks loses nothing: %s", (faults) => {
  for (let seed = 300; seed < 310; seed++) {
    const result = run("fast-paxos", faults, seed, seed % 2 ? 5 : 3);
    expect(result.problems, `seed ${seed}`).toEqual([]);
    expect(result).toMatchObject({ linearizable: true, converged: true });
  }
});

it("a vote does not cover entries that the leader displaced while a group commit had them under way", () => {
  expect(run("fast-paxos", "powerLoss", 1387, 3)).toMatchObject({ problems: [], linearizable: true, converged: true });
});

it("a machine that throws in a process that was killed and is not buried yet is no violation", () => {
  expect(run("fast-paxos", "disk", 1587, 5)).toMatchObject({ problems: [], linearizable: true, converged: true });
});

it("unreplicated is linearizable", () => {
  for (let seed = 300; seed < 306; seed++) expect(run("unreplicated", "default", seed, 1).problems).toEqual([]);
});

it("Fast Paxos settles collisions within the view", () => {
  const result = run("fast-paxos", "none", 6, 5);
  expect(result).toMatchObject({ problems: [], views: 0 });
  expect(result.rolledBack).toBeGreaterThan(20);
});

it("a run takes a protocol by name, and names those there are", async () => {
  const quick = { ops: 50, workers: 1, print: () => {} };
  const names: string[] = [];
  const onResult = (result: SimulationResult) => names.push(`${result.parameters.protocol} ${result.parameters.replicas}`);
  expect(await runSimulations({ ...quick, protocol: "unreplicated", faults: "none", onResult })).toMatchObject({ ok: true });
  expect(names).toEqual(["unreplicated 1"]);
  await expect(runSimulations({ ...quick, protocol: "raft" })).rejects.toMatchObject({
    code: "INVALID_OPTION",
    message: expect.stringMatching(/no protocol "raft".*speculative, paxos, paxos-batching, fast-paxos, unreplicated/),
  });
  await expect(runSimulations({ ...quick, protocol: "unreplicated", replicas: 3 })).rejects.toMatchObject({ code: "INVALID_OPTION" });
});
