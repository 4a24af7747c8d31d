/** The suite as a user runs it: interrupted, resumed, refused. */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it, onTestFinished } from "vitest";
import { keyText, type Run, readRecord, type Summary } from "../../bench/paper/record.js";
import { p50AtPartOfPeak, summarize } from "../../bench/paper/summary.js";
import { until } from "../api/support.js";

const main = fileURLToPath(new URL("../../dist-bench/main.js", import.meta.url));
const tiny = ["paper", "processes", "--quick", "--protocols", "speculative,unreplicated"];

interface Ended {
  status: number | null;
  stdout: string;
  stderr: string;
}

function start(args: string[]): { child: ChildProcess; ended: Promise<Ended> } {
  const child = spawn(process.execPath, [main, ...args], { stdio: ["ignore", "pipe", "pipe"], env: { ...process.env, NO_COLOR: "1" } });
  onTestFinished(() => void child.kill("SIGTERM"));
  const text = { stdout: "", stderr: "" };
  for (const name of ["stdout", "stderr"] as const) {
    child[name].setEncoding("utf8").on("data", (part: string) => {
      text[name] += part;
    });
  }
  return { child, ended: new Promise((resolve) => child.once("close", (status) => resolve({ status, ...text }))) };
}

const run = (...args: string[]) => start(args).ended;

async function folder(): Promise<string> {
  const directory = await mkdtemp(path.join(tmpdir(), "squall-paper-"));
  onTestFinished(() => rm(directory, { recursive: true, force: true }));
  return directory;
}

async function runsIn(file: string): Promise<number> {
  const text = await readFile(file, "utf8").catch(() => "");
  return text.split("\n").filter((line) => line.startsWith('{"kind":"run"')).length;
}

describe("the suite", () => {
  it("keeps what was measured when it is interrupted, and goes on with it", { timeout: 120_000 }, async () => {
    const file = path.join(await folder(), "result.jsonl");
    const first = start([...tiny, "--result", file]);
    await until(async () => (await runsIn(file)) > 1, "two runs are recorded", 60_000);
    first.child.kill("SIGINT");
    const interrupted = await first.ended;
    expect(interrupted.status).toBe(130);
    expect(interrupted.stderr).toContain("--resume");
    const before = readRecord(file);
    expect(before.runs.length).toBeLessThan(before.header.runs);
    expect(before.summary).toBeUndefined();

    expect(await run(...tiny, "--result", file)).toMatchObject({ status: 2, stderr: expect.stringContaining("--resume") });
    // Without its last line end the last run does not count.
    await writeFile(file, (await readFile(file, "utf8")).slice(0, -1));
    const kept = readRecord(file).runs;
    expect(kept).toHaveLength(before.runs.length - 1);
    const resumed = await run("paper", "--resume", file, "--json");
    expect(resumed).toMatchObject({ status: 0 });
    const after = readRecord(file);
    expect(after.runs.slice(0, kept.length)).toEqual(kept);
    expect(after.runs).toHaveLength(after.header.runs);
    expect(new Set(after.runs.map(({ key, round }) => `${round} ${keyText(key)}`)).size).toBe(after.header.runs);
    expect(
      after.runs.every(({ values, digestsAgree, processes }) => values.operations! > 0 && digestsAgree && processes[0]!.cpuUsPerOp > 0),
    ).toBe(true);
    const { kind: _, ...summary } = after.summary as Summary;
    expect(JSON.parse(resumed.stdout.trim().split("\n").at(-1)!)).toEqual(summary);
    expect(summary).toMatchObject({ digestsAgree: true, runs: after.header.runs, failed: 0 });
  });

  it("refuses what it does not know, with the names that there are", async () => {
    const [experiment, protocol, round] = await Promise.all([
      run("paper", "figure7"),
      run("paper", "latency", "--protocols", "paxos,raft"),
      run("paper", "latency", "--round", "first"),
    ]);
    expect(experiment).toMatchObject({
      status: 2,
      stderr: expect.stringMatching(/Did you mean "figure8".*latency, figure8, figure9, table1/),
    });
    expect(protocol.status).not.toBe(0);
    expect(protocol.stderr).toMatch(/no protocol "raft".*fast-paxos, speculative/);
    expect(round.status).not.toBe(0);
  });

  it("resumes nothing that was measured otherwise, and says why", { timeout: 60_000 }, async () => {
    const file = path.join(await folder(), "result.jsonl");
    // The header of this machine and version, without any run.
    const first = start([...tiny, "--result", file]);
    await until(async () => (await readFile(file, "utf8").catch(() => "")).includes("\n"), "the header is written", 20_000);
    first.child.kill("SIGINT");
    await first.ended;
    const { header } = readRecord(file);
    const refused = async (change: object, ...args: string[]) => {
      await writeFile(file, `${JSON.stringify({ ...header, ...change })}\n`);
      const { status, stderr } = await run("paper", "--resume", file, ...args);
      expect(status).toBe(2);
      return stderr;
    };
    expect(await refused({ machine: { ...header.machine, fingerprint: "0", cpu: "Abacus" } })).toMatch(/another machine \(.*Abacus/);
    expect(await refused({ squall: "0.0.1" })).toContain("Squall 0.0.1");
    expect(await refused({}, "--seed", "77")).toContain("its seed is 1, not 77");
    expect(await refused({}, "figure9")).toContain("its experiments are processes, not figure9");
    expect(await refused({ format: 99 })).toContain("format 99");
    const missing = await run("paper", "--resume", `${file}.none`);
    expect(missing).toMatchObject({ status: 2, stderr: expect.stringContaining("there is no file") });

    // Replicas that ended with different digests fail the suite, whatever else there is.
    const bad = {
      kind: "run",
      experiment: "processes",
      key: { protocol: "speculative", processes: 1 },
      round: 0,
      values: {},
      digestsAgree: false,
    };
    await writeFile(file, `${JSON.stringify(header)}\n${JSON.stringify({ ...bad, startedAt: header.startedAt, processes: [] })}\n`);
    const failed = await run("paper", "--resume", file);
    expect(failed).toMatchObject({ status: 1, stdout: expect.stringMatching(/WRONG: processes.*different digests/) });
  });
});

describe("the summary", () => {
  const figure8 = (protocol: Run["key"]["protocol"], clients: number, opsPerSecond: number, p50Us: number, round = 0): Run => ({
    kind: "run",
    experiment: "figure8",
    key: { protocol, clients, packing: false },
    round,
    startedAt: "",
    values: { opsPerSecond, p50Us, capacityOpsPerSecond: 2 * opsPerSecond, failed: 0 },
    processes: [],
    digestsAgree: true,
  });

  it("finds the latency at a part of the peak, between two numbers of clients", () => {
    const runs = [
      figure8("paxos", 300, 95, 900),
      figure8("paxos", 2, 20, 100),
      figure8("paxos", 64, 100, 400),
      figure8("paxos", 16, 80, 200),
    ];
    expect(p50AtPartOfPeak(runs, 0.9)).toBe(300);
    expect(p50AtPartOfPeak(runs, 0.1)).toBe(100);
    expect(p50AtPartOfPeak([], 0.9)).toBeNaN();
  });

  it("takes medians over the rounds, and leaves out what was not measured", () => {
    const runs = [10, 1_000, 12].flatMap((speed, round) => [
      figure8("speculative", 16, 3 * speed, 100, round),
      figure8("paxos", 16, 12, 100, round),
    ]);
    const summary = summarize(runs);
    expect(summary).toMatchObject({ capacityVsPaxos: 3, digestsAgree: true, runs: 6, failed: 0 });
    expect(summary).not.toHaveProperty("capacityVsBatching");
    expect(summary).not.toHaveProperty("latencyVsPaxos");
    expect(summarize([{ ...runs[0]!, digestsAgree: false }]).digestsAgree).toBe(false);
  });
});
