import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, it } from "vitest";
import { readRecord } from "../../bench/paper/record.js";
import { linesOf, type MadeUp, madeUpResult } from "../fixtures/paper-result.js";

const root = fileURLToPath(new URL("../../", import.meta.url));
const folder = mkdtempSync(path.join(tmpdir(), "squall-compare-test-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** `squall bench ...`, to its end. */
function bench(...args: string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [path.join(root, "dist/cli/main.js"), "bench", ...args], {
    cwd: folder,
    encoding: "utf8",
  });
  return { status, stdout, stderr };
}

function result(name: string, options: MadeUp, change: (record: ReturnType<typeof madeUpResult>) => void = () => {}): string {
  const record = madeUpResult({ experiments: ["latency"], ...options });
  change(record);
  writeFileSync(path.join(folder, name), linesOf(record));
  return name;
}

describe("squall bench compare", () => {
  it("prints ratios with intervals, for people and as JSON", () => {
    const a = result("a.jsonl", { rounds: 5, noise: 0.01 });
    const b = result("b.jsonl", { rounds: 5, noise: 0.01, seed: 2, slower: 2 });
    const { status, stdout } = bench("compare", a, b, "--json");
    expect(status).toBe(0);
    expect(stdout).toMatch(/protocol=paxos +throughput, op\/s .* worse/);
    expect(stdout).toContain("differs in seed: 1 and 2");
    const { comparisons } = JSON.parse(stdout.trim().split("\n").at(-1)!);
    const p50 = comparisons.find(
      (each: { key: { protocol: string }; metric: string }) => each.key.protocol === "paxos" && each.metric === "p50Us",
    );
    expect(p50.interval.low).toBeLessThan(2);
    expect(p50.interval.high).toBeGreaterThan(2);
    expect(p50.verdict).toBe("worse");
  });

  it("says that there are too few rounds rather than a ratio", () => {
    const { status, stdout } = bench("compare", result("a.jsonl", { rounds: 2 }), result("b.jsonl", { rounds: 2, slower: 3 }));
    expect(status).toBe(0);
    expect(stdout).toContain("too few rounds (2)");
    expect(stdout).toContain("No ratio is claimed");
    expect(stdout).not.toMatch(/better|worse/);
  });

  it("refuses what can't be compared, and says why", () => {
    const a = result("a.jsonl", { rounds: 3 });
    const other = result("other.jsonl", { rounds: 3 }, ({ header }) => Object.assign(header.machine, { fingerprint: "x", cpu: "another" }));
    writeFileSync(path.join(folder, "text.jsonl"), "hello\n");
    const refusals: [string[], string][] = [
      [[a, other], "different machines (cpu Example CPU @ 3.00GHz and another)"],
      [[a], "needs two results, and got 1"],
      [[a, "absent.jsonl"], "absent.jsonl"],
      [[a, "text.jsonl"], "not JSON"],
      [[a, a, "--against", "main"], "--against goes with --run"],
      [["--run"], "--run needs --against"],
      [["--run", "--against", "no-such-commit"], "neither a folder nor a commit"],
      [["--run", "--against", folder], "no built benchmarks"],
      [["--run", "--against", root, "latencies"], 'there is no experiment "latencies". Did you mean "latency"?'],
      [["--run", "--against", root, "--rounds", "0"], "a whole number"],
    ];
    for (const [args, reason] of refusals) {
      const { status, stdout, stderr } = bench("compare", ...args);
      expect(stderr + stdout, args.join(" ")).toContain(reason);
      expect(status, args.join(" ")).not.toBe(0);
    }
    expect(bench("compare", a, other, "--different-machines").status).toBe(0);
  });

  it("runs two checkouts by turns", () => {
    const name = path.join(folder, "turns");
    const { status, stdout, stderr } = bench(
      ...["compare", "--run", "--against", root, "latency", "--quick", "--protocols", "speculative"],
      ...["--rounds", "2", "--result", name, "--json"],
    );
    expect(stderr).toContain("round 2 of 2");
    expect(status, stderr).toBe(0);
    const { comparisons } = JSON.parse(stdout.trim().split("\n").at(-1)!) as { comparisons: { paired: boolean; rounds: number[] }[] };
    expect(comparisons.length).toBeGreaterThan(5);
    expect(comparisons.every(({ paired, rounds }) => paired && rounds.every((count) => count === 2))).toBe(true);
    const [a, b] = ["a", "b"].map((side) => readRecord(`${name}-${side}.jsonl`));
    const began = [a!, b!].map(({ runs }) => [0, 1].map((round) => runs.find((run) => run.round === round)!.startedAt));
    // A B, then B A.
    expect([began[0]![0], began[1]![0], began[1]![1], began[0]![1]]).toEqual(began.flat().sort());
    expect(a!.header.runs).toBe(a!.runs.length);
  });
});

describe("squall bench report", () => {
  it("writes the page beside the result, and not over it", () => {
    const file = result("a.jsonl", { rounds: 1 });
    expect(bench("report", file).status).toBe(0);
    expect(existsSync(path.join(folder, "a.html"))).toBe(true);
    const refused = bench("report", file, "--html", file);
    expect(refused.stderr).toContain("is the result itself");
    expect(refused.status).toBe(2);
  });
});
