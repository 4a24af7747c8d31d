/** Runs the suite of two checkouts by turns, so that what else happens on the machine meets both alike. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { RecordWriter, readRecord } from "../record.js";
import { benchOf } from "./checkouts.js";

export interface TurnOptions {
  /** Folders of two checkouts whose benchmarks are built. */
  a: string;
  b: string;
  rounds: number;
  /** Passed on to the suite: experiments, length, protocols, seed. */
  suite: string[];
  /** The results are called `<name>-a.jsonl` and `<name>-b.jsonl`. */
  name: string;
}

/** Round by round A B, B A, A B, ...: who is first changes, so that a steady drift favours nobody. Returns the two results' files. */
export async function runByTurns({ a, b, rounds, suite, name }: TurnOptions): Promise<[a: string, b: string]> {
  const sides = [
    { root: a, file: resolve(`${name}-a.jsonl`) },
    { root: b, file: resolve(`${name}-b.jsonl`) },
  ] as const;
  for (const { file } of sides) if (existsSync(file)) throw new Error(`${file} exists; choose another --result.`);
  const folder = mkdtempSync(join(tmpdir(), "squall-compare-"));
  try {
    for (let round = 0; round < rounds; round++) {
      for (const { root, file } of round % 2 === 0 ? sides : [sides[1], sides[0]]) {
        console.error(`round ${round + 1} of ${rounds}: ${file}`);
        const part = join(folder, "part.jsonl");
        await runSuite(root, [...suite, "--round", "0", "--result", part]);
        append(file, part, round, rounds);
        rmSync(part);
      }
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  return [sides[0].file, sides[1].file];
}

async function runSuite(root: string, args: string[]): Promise<void> {
  const child = spawn(process.execPath, [benchOf(root), "paper", ...args], { cwd: root, stdio: ["ignore", "pipe", "inherit"] });
  let output = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => (output = (output + text).slice(-2000)));
  const [status] = (await once(child, "exit")) as [number | null];
  if (status !== 0) throw new Error(`The suite of ${root} ended with status ${status}. What it said last:\n${output.trim()}`);
}

/** The part was the suite's first round; here it is the one with this number. */
function append(file: string, part: string, round: number, rounds: number): void {
  const { header, runs } = readRecord(part);
  const writer = existsSync(file) ? RecordWriter.append(file) : RecordWriter.create(file, { ...header, runs: runs.length * rounds });
  for (const run of runs) writer.write({ ...run, round });
}
