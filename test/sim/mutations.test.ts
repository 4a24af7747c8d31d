/**
 * Each rule that has a guard, switched off in a test build: the simulator notices within the stated number of seeds. Seeds
 * are short (few operations, views that change often); the rules that need steps in one exact order have a script.
 *
 * CommittedPrefix is there for FAST views alone: in SPECULATIVE ones the threshold alone keeps what is committed (a superquorum had it, so more than half of
 * the logs of that view do), and the rule only saves counting. test/control/merge.test.ts covers it.
 */
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { Guard } from "../../src/data/binding.js";
import { loadBinding } from "../../src/data/load.js";
import { type SimulationResult, simulate } from "../../src/sim/simulation.js";

const binding = loadBinding(fileURLToPath(new URL("../../build/Mutations/squall.node", import.meta.url)));

interface Check {
  guard: keyof typeof Guard;
  replicas: number;
  /** Caught within so many seeds. */
  seeds: number;
  faults?: string;
  protocol?: "fast-paxos";
}

const checks: Check[] = [
  { guard: "MatchView", replicas: 3, seeds: 60, faults: "mutation:staleAnswer" },
  { guard: "MatchHash", replicas: 3, seeds: 40 },
  { guard: "SuperQuorum", replicas: 3, seeds: 30 },
  { guard: "SuperQuorum", replicas: 5, seeds: 60 },
  { guard: "HashOperation", replicas: 3, seeds: 40 },
  { guard: "SessionDedupe", replicas: 3, seeds: 20 },
  { guard: "FreezeLog", replicas: 3, seeds: 100 },
  { guard: "PrepareGaps", replicas: 3, seeds: 20, faults: "mutationLeader" },
  { guard: "PrepareQuorum", replicas: 3, seeds: 60, faults: "mutationLeader" },
  { guard: "PrepareQuorum", replicas: 3, seeds: 60, protocol: "fast-paxos" },
  { guard: "CommittedPrefix", replicas: 5, seeds: 100, protocol: "fast-paxos" },
  { guard: "LastNormalView", replicas: 3, seeds: 40, faults: "mutation:lostCommit" },
  { guard: "CommitAcrossViews", replicas: 3, seeds: 100, faults: "mutation:delayedStartView" },
  { guard: "MergeThreshold", replicas: 5, seeds: 100 },
  { guard: "MergeThresholdConstant", replicas: 5, seeds: 60 },
  { guard: "MergeHighestViews", replicas: 3, seeds: 30, faults: "mutation:lostCommit" },
  { guard: "MergeMode", replicas: 5, seeds: 20, faults: "mutation:shortLog" },
  { guard: "MergeOnce", replicas: 5, seeds: 60 },
  { guard: "InstallOnce", replicas: 3, seeds: 60 },
  { guard: "CompleteReconcile", replicas: 3, seeds: 30 },
  { guard: "CommitHash", replicas: 3, seeds: 20 },
  // The recovery that the paper suggests: who lost its memory copies a log and takes part.
  { guard: "RecoverySilence", replicas: 3, seeds: 60, faults: "crash" },
  { guard: "RecoverySilence", replicas: 5, seeds: 60, faults: "crash" },
  { guard: "RecoveryMask", replicas: 3, seeds: 10, faults: "mutation:lateQuorum" },
  { guard: "QuorumIncarnations", replicas: 5, seeds: 10, faults: "mutation:oldReconcile" },
  { guard: "AdoptVector", replicas: 5, seeds: 10, faults: "mutation:oldReconcile" },
  { guard: "ReadAtEnd", replicas: 3, seeds: 10, faults: "reads" },
  { guard: "ReadQuorum", replicas: 3, seeds: 150, faults: "reads" },
  { guard: "ReplyDurable", replicas: 3, seeds: 30, faults: "powerLoss" },
  { guard: "PrepareOkDurable", replicas: 3, seeds: 30, faults: "powerLoss" },
  { guard: "PrepareOkDurable", replicas: 3, seeds: 30, faults: "powerLoss", protocol: "fast-paxos" },
  { guard: "PrepareOkDurable", replicas: 5, seeds: 30, faults: "powerLoss", protocol: "fast-paxos" },
  { guard: "ControlDurable", replicas: 3, seeds: 20, faults: "powerLoss" },
  { guard: "ReadQuorum", replicas: 5, seeds: 100, faults: "reads" },
  { guard: "ClosingView", replicas: 3, seeds: 20, faults: "mutationMembers" },
  { guard: "ClosingView", replicas: 5, seeds: 20, faults: "mutationMembers" },
  { guard: "OldMembersServe", replicas: 3, seeds: 40, faults: "mutationMembers" },
  { guard: "OldMembersServe", replicas: 5, seeds: 40, faults: "mutationMembers" },
  { guard: "JoinWithState", replicas: 3, seeds: 40, faults: "mutationMembers" },
  { guard: "JoinWithState", replicas: 5, seeds: 20, faults: "mutationMembers" },
];

function run(check: Omit<Check, "guard" | "seeds">, seed: number, guardsOff: number): SimulationResult {
  const { faults = "mutation", protocol = "speculative" } = check;
  return simulate({ binding, seed, replicas: check.replicas, clients: 4, operations: 100, faults, guardsOff, protocol });
}

const isCaught = (result: SimulationResult) => !result.linearizable || !result.converged;

it("is a test build", () => expect(binding.mutations).toBe(true));

describe.each(checks)("without $guard, $replicas replicas, $faults", (check) => {
  it(`is caught within ${check.seeds} seeds`, { timeout: 60_000 }, () => {
    let caught: SimulationResult | undefined;
    for (let seed = 1; seed <= check.seeds && caught === undefined; seed++) {
      const result = run(check, seed, Guard[check.guard]);
      if (isCaught(result)) caught = result;
    }
    expect(caught?.problems[0]).toBeTypeOf("string");
    // The seed is good for nothing but the rule that was missing.
    expect(run(check, caught!.seed, 0).problems).toEqual([]);
  });
});
