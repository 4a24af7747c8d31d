/** Many seeds, in parallel: what `squall sim` runs. */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { setImmediate } from "node:timers/promises";
import { Piscina } from "piscina";
import { protocolNames } from "../config/protocols.js";
import type { ClusterProtocol } from "../config-types.js";
import { loadBinding } from "../data/load.js";
import { SquallError } from "../errors.js";
import { suggestName } from "../options.js";
import { profileNamed } from "./profiles.js";
import { type SimulationResult, simulate } from "./simulation.js";
import { formatTrace } from "./trace.js";
import type { SimulationTask } from "./worker.js";

export interface RunOptions {
  /** First seed, an integer in [0, 2^53). Default 1. */
  seed?: number;
  /** How many seeds, counting up. Default 1. */
  seeds?: number;
  /** How operations are ordered: a name as in the cluster file. Default "speculative". */
  protocol?: string;
  /** 3, 5 or 7; of several sizes the seeds take turns. Default 3; with the protocol "unreplicated" 1. */
  replicas?: number | readonly number[];
  /** Default 4. */
  clients?: number;
  /** Operations of each seed. Default 2,000. */
  ops?: number;
  /** Name of a fault profile (profiles.ts), with or without a script behind a colon. */
  faults?: string;
  /** One JSON object a seed, and one for the summary, instead of text. */
  json?: boolean;
  /** Worker threads; 1 runs in this thread. Default: one a core, at most one a seed. */
  workers?: number;
  /** Readable events of every seed; runs in this thread. */
  trace?: boolean;
  /** Guard bits that a test build switches off. */
  guardsOff?: number;
  /** Path of another build of the addon. */
  binding?: string;
  onResult?: (result: SimulationResult) => void;
  /** Takes the lines of output. Default: standard output. */
  print?: (line: string) => void;
}

export interface RunSummary {
  seeds: number;
  passed: number;
  failed: number;
  /** Seeds that failed, at most 100, with the command that replays each. */
  failures: { seed: number; replay: string; problems: string[] }[];
  operations: number;
  unknown: number;
  /** Reads answered without the log, and linearizable ones that had to be logged. */
  reads: number;
  readsLogged: number;
  reconciliations: number;
  views: number;
  rolledBack: number;
  /** Seeds in which some view's START-VIEW changed a replica's log. */
  seedsMergedUnequal: number;
  linearizable: boolean;
  converged: boolean;
  /** Totals over all seeds. */
  faults: Record<string, number>;
  virtualSeconds: number;
  wallSeconds: number;
  /** Operations per second of one thread's time, checking included. */
  operationsPerCoreSecond: number;
  binding: { path: string; sha256: string };
  ok: boolean;
  /** Why `ok` is false. */
  reason?: string;
}

/** A batch this small may well consist of calm seeds. */
const SMALL_BATCH_SEEDS = 8;
const FAILURES_KEPT = 100;

/** Runs the seeds. Resolves whatever they show: `ok` in the summary says. Throws INVALID_OPTION, NATIVE_MISSING. */
export async function runSimulations(options: RunOptions = {}): Promise<RunSummary> {
  const checked = checkOptions(options);
  const binding = loadBinding(options.binding);
  if (checked.guardsOff !== 0 && !binding.mutations) {
    throw new SquallError(
      "INVALID_OPTION",
      `The addon ${binding.path} is not a test build: its guards can't be switched off. Build one with \`npm run build:mutations\`.`,
    );
  }
  const print = options.print ?? ((line: string) => process.stdout.write(`${line}\n`));
  const summary = emptySummary({ path: binding.path, sha256: createHash("sha256").update(readFileSync(binding.path)).digest("hex") });
  if (!options.json) print(`native data plane ${binding.path}\nSHA-256 ${summary.binding.sha256}`);
  const startedAt = performance.now();
  const take = (result: SimulationResult) => {
    addResult(summary, result);
    options.onResult?.(result);
    print(options.json ? JSON.stringify(result) : describeResult(result));
  };
  await runAll(checked, take);
  summary.wallSeconds = (performance.now() - startedAt) / 1000;
  judge(summary, checked);
  print(options.json ? JSON.stringify({ summary }) : describeSummary(summary));
  return summary;

  async function runAll(plan: CheckedOptions, onResult: (result: SimulationResult) => void): Promise<void> {
    const task = (index: number): SimulationTask => ({
      bindingPath: binding.path,
      seed: plan.seed + index,
      protocol: plan.protocol,
      replicas: plan.replicas[index % plan.replicas.length]!,
      clients: plan.clients,
      operations: plan.ops,
      faults: plan.faults,
      guardsOff: plan.guardsOff,
    });
    if (plan.workers === 1) {
      for (let index = 0; index < plan.seeds; index++) {
        const trace = options.trace ? (atUs: number, line: string) => print(formatTrace(atUs, line)) : undefined;
        onResult(simulate({ ...task(index), binding, ...(trace === undefined ? {} : { trace }) }));
        // What a run held natively is freed from the event loop only.
        await setImmediate();
      }
      return;
    }
    const pool = new Piscina<SimulationTask, SimulationResult>({
      filename: new URL("./worker.js", import.meta.url).href,
      minThreads: plan.workers,
      maxThreads: plan.workers,
    });
    try {
      let next = 0;
      const lane = async () => {
        while (next < plan.seeds) onResult(await pool.run(task(next++)));
      };
      await Promise.all(Array.from({ length: plan.workers }, lane));
    } finally {
      await pool.destroy();
    }
  }
}

/** The command that runs this seed again. */
export function replayCommand({ seed, parameters }: SimulationResult): string {
  const { protocol, replicas, clients, operations, faults } = parameters;
  return `squall sim --protocol ${protocol} --seed ${seed} --replicas ${replicas} --clients ${clients} --ops ${operations} --faults ${faults} --trace`;
}

interface CheckedOptions {
  seed: number;
  seeds: number;
  protocol: ClusterProtocol;
  replicas: readonly number[];
  clients: number;
  ops: number;
  faults: string;
  workers: number;
  guardsOff: number;
}

function checkOptions(options: RunOptions): CheckedOptions {
  const whole = (name: string, value: number, low: number, high: number) => {
    if (!Number.isInteger(value) || value < low || value > high) {
      throw new SquallError("INVALID_OPTION", `The option ${name} must be a whole number from ${low} to ${high}; it is ${value}.`);
    }
    return value;
  };
  const seeds = whole("seeds", options.seeds ?? 1, 1, 1e9);
  const protocol = protocolNames.find((name) => name === (options.protocol ?? "speculative"));
  if (protocol === undefined)
    throw new SquallError(
      "INVALID_OPTION",
      `There is no protocol "${options.protocol}". ${suggestName(String(options.protocol), protocolNames)}`,
    );
  const sizes = protocol === "unreplicated" ? [1] : [3, 5, 7];
  const replicas = typeof options.replicas === "object" ? options.replicas : [options.replicas ?? sizes[0]!];
  if (replicas.length === 0 || replicas.some((count) => !sizes.includes(count))) {
    const allowed = sizes.length === 1 ? `1 with the protocol "${protocol}"` : "3, 5 or 7";
    throw new SquallError("INVALID_OPTION", `The option replicas must be ${allowed}; it is ${replicas.join(", ")}.`);
  }
  const faults = options.faults ?? "default";
  profileNamed(faults);
  const workers = whole("workers", options.workers ?? Math.min(seeds, availableParallelism()), 1, 256);
  return {
    seed: whole("seed", options.seed ?? 1, 0, Number.MAX_SAFE_INTEGER - seeds),
    seeds,
    protocol,
    replicas,
    clients: whole("clients", options.clients ?? 4, 1, 256),
    ops: whole("ops", options.ops ?? 2_000, 1, 10_000_000),
    faults,
    workers: options.trace ? 1 : workers,
    guardsOff: whole("guardsOff", options.guardsOff ?? 0, 0, 0x7fffffff),
  };
}

function emptySummary(binding: RunSummary["binding"]): RunSummary {
  return {
    seeds: 0,
    passed: 0,
    failed: 0,
    failures: [],
    operations: 0,
    unknown: 0,
    reads: 0,
    readsLogged: 0,
    reconciliations: 0,
    views: 0,
    rolledBack: 0,
    seedsMergedUnequal: 0,
    linearizable: true,
    converged: true,
    faults: {},
    virtualSeconds: 0,
    wallSeconds: 0,
    operationsPerCoreSecond: 0,
    binding,
    ok: true,
  };
}

function addResult(summary: RunSummary, result: SimulationResult): void {
  summary.seeds++;
  if (result.linearizable && result.converged) summary.passed++;
  else {
    summary.failed++;
    if (summary.failures.length < FAILURES_KEPT)
      summary.failures.push({ seed: result.seed, replay: replayCommand(result), problems: result.problems });
  }
  summary.operations += result.completed;
  summary.unknown += result.unknown;
  summary.reads += result.reads;
  summary.readsLogged += result.readsLogged;
  summary.reconciliations += result.reconciliations;
  summary.views += result.views;
  summary.rolledBack += result.rolledBack;
  if (result.mergedUnequal > 0) summary.seedsMergedUnequal++;
  summary.linearizable &&= result.linearizable;
  summary.converged &&= result.converged;
  for (const [name, count] of Object.entries(result.faultsInjected)) summary.faults[name] = (summary.faults[name] ?? 0) + count;
  summary.virtualSeconds += result.virtualSeconds;
  // Until judge() this is the sum of the threads' milliseconds.
  summary.operationsPerCoreSecond += result.wallMs;
}

function judge(summary: RunSummary, { faults, protocol }: CheckedOptions): void {
  summary.operationsPerCoreSecond = Math.round((1000 * (summary.operations + summary.unknown)) / summary.operationsPerCoreSecond);
  if (summary.failed > 0) summary.reason = `${summary.failed} of ${summary.seeds} seeds failed`;
  else if (
    faults !== "none" &&
    protocol === "speculative" &&
    summary.seeds >= SMALL_BATCH_SEEDS &&
    2 * summary.seedsMergedUnequal < summary.seeds
  ) {
    summary.reason = `only ${summary.seedsMergedUnequal} of ${summary.seeds} seeds merged unequal logs: too few to trust the rest`;
  }
  summary.ok = summary.reason === undefined;
}

function describeResult(result: SimulationResult): string {
  const { parameters, faultsInjected: injected } = result;
  const good = result.linearizable && result.converged;
  const lines = [
    `seed ${result.seed}  n=${parameters.replicas}  ${good ? "ok" : "FAILED"}  ${result.completed} operations, ${result.unknown} unknown, ` +
      `${result.reconciliations} reconciliations, ${result.rolledBack} rolled back, view ${result.views}, ` +
      `lost ${injected.lost} duplicated ${injected.duplicated} reordered ${injected.reordered} corrupted ${injected.corrupted} blocked ${injected.blocked}, ` +
      `${result.virtualSeconds.toFixed(2)} s virtual, ${result.wallMs.toFixed(0)} ms, trace ${result.traceHash.slice(0, 16)}`,
  ];
  if (good) return lines[0]!;
  return [...lines, ...result.problems.map((problem) => `  ${problem}`), `  replay: ${replayCommand(result)}`].join("\n");
}

function describeSummary(summary: RunSummary): string {
  const faults = Object.entries(summary.faults)
    .map(([name, count]) => `${name} ${count}`)
    .join(", ");
  return [
    `${summary.passed} of ${summary.seeds} seeds passed; ${summary.operations} operations, ${summary.unknown} unknown; ` +
      `${summary.reads} reads without the log, ${summary.readsLogged} logged; ${summary.views} views, ` +
      `${summary.reconciliations} reconciliations, ${summary.rolledBack} entries rolled back, ${summary.seedsMergedUnequal} seeds merged unequal logs`,
    `faults: ${faults}`,
    `${summary.virtualSeconds.toFixed(1)} s virtual in ${summary.wallSeconds.toFixed(1)} s; ${summary.operationsPerCoreSecond} operations a second and core`,
    ...(summary.reason === undefined ? [] : [`FAILED: ${summary.reason}`]),
  ].join("\n");
}
