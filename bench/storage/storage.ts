import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { join, resolve } from "node:path";
import { Progress } from "../progress.js";
import { median, percentile, round } from "../statistics.js";
import { type EngineKind, findEngines, MaxBytes, openIn } from "./engines.js";

export interface StorageOptions {
  json: boolean;
  /** Runs of each engine and batch, by turns. */
  rounds: number;
  secondsPerRun: number;
  /** Where to write: on the device in question. */
  directory: string;
}

const recordBytes = 100;
const batches = [1, 16, 256];
/** Files, tables and code grow warm. */
const warmUpCommits = 20;

interface RunResult {
  recordsPerSecond: number;
  p50Us: number;
  p99Us: number;
}

/** One commit after the other: group commit has one under way. */
async function runOne(kind: EngineKind, batch: number, seconds: number, directory: string): Promise<RunResult> {
  const engine = await openIn(kind, directory);
  const records = Array.from({ length: batch }, (_, i) => new Uint8Array(recordBytes).fill(i));
  const bytesPerCommit = Math.ceil((batch * recordBytes) / 4096) * 4096;
  const latencies: number[] = [];
  let seqno = 1;
  let startedAt = 0;
  for (let commits = 0; ; commits++) {
    const beganAt = performance.now();
    if (commits === warmUpCommits) startedAt = beganAt;
    await engine.commit(seqno, records);
    seqno += batch;
    const endedAt = performance.now();
    if (commits >= warmUpCommits) latencies.push((endedAt - beganAt) * 1e3);
    if (commits > warmUpCommits && (endedAt - startedAt > seconds * 1e3 || (commits + 2) * bytesPerCommit > MaxBytes)) break;
  }
  const elapsedMs = performance.now() - startedAt;
  await engine.close();
  const sorted = Float64Array.from(latencies).sort();
  return {
    recordsPerSecond: (latencies.length * batch * 1e3) / elapsedMs,
    p50Us: percentile(sorted, 0.5),
    p99Us: percentile(sorted, 0.99),
  };
}

/** Group commit of records of 100 bytes: throughput and latency of each engine, by turns on the same device. */
export async function benchStorage(options: StorageOptions): Promise<number> {
  mkdirSync(options.directory, { recursive: true });
  const root = mkdtempSync(join(resolve(options.directory), "storage-"));
  const engines = await findEngines();
  const results = new Map<string, RunResult[]>();
  const progress = new Progress(options.rounds * batches.length * engines.length, "storage");
  try {
    for (let turn = 0; turn < options.rounds; turn++)
      for (const batch of batches)
        for (const kind of engines) {
          const directory = join(root, "run");
          const result = await runOne(kind, batch, options.secondsPerRun, directory);
          rmSync(directory, { recursive: true, force: true });
          const key = `${kind.name}/${batch}`;
          results.set(key, [...(results.get(key) ?? []), result]);
          progress.step(`${kind.name}, ${batch}`);
        }
  } finally {
    progress.stop();
    rmSync(root, { recursive: true, force: true });
  }
  const rows = batches.flatMap((batch) =>
    engines.map(({ name }) => {
      const runs = results.get(`${name}/${batch}`)!;
      const middle = (field: keyof RunResult) => round(median(runs.map((run) => run[field])), 0);
      return { engine: name, batch, recordsPerSecond: middle("recordsPerSecond"), p50Us: middle("p50Us"), p99Us: middle("p99Us") };
    }),
  );
  console.log(
    `records of ${recordBytes} bytes, one commit after the other; medians of ${options.rounds} runs of ${options.secondsPerRun} s`,
  );
  console.table(rows);
  if (options.json) console.log(JSON.stringify({ recordBytes, rounds: options.rounds, results: rows }));
  return 0;
}
