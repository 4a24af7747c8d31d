/** `squall check`: finds machines that are not deterministic, not synchronous, or do not undo what they did. */
import { randomInt } from "node:crypto";
import { CheckedInstance, type UpcallProblem } from "./check/instance.js";
import { loadMachineModule } from "./check/module.js";
import { OperationSource } from "./check/operations.js";
import { wholeSnapshot } from "./data/snapshot-bytes.js";
import { nearlyUpcalls } from "./define-machine.js";
import type { Machine } from "./machine.js";
import { checkInteger, checkOptions } from "./options.js";

export interface CheckOptions {
  /** Operations to execute, those rolled back and executed again included. Default 2,000. */
  operations?: number;
  /** Whole number below 2^32; the same seed gives the same operations and rollbacks. Default: random. */
  seed?: number;
  /** Longest random operation, bytes. Default 64. */
  operationBytes?: number;
}

export interface CheckFinding {
  kind: UpcallProblem["kind"] | "results-differ" | "states-differ" | "rollback-wrong" | "restore-wrong" | "query-changed-state";
  /** The sequence number at which it was noticed. */
  seqno: number;
  message: string;
}

export interface CheckReport {
  ok: boolean;
  seed: number;
  operations: number;
  rollbacks: number;
  commits: number;
  /** Queries asked; 0 when the machine has none. */
  queries: number;
  /** Operations that threw the same at both instances: allowed, but they stop a replica until its peers are found to agree. */
  threw: number;
  /** False when the machine has neither digest() nor snapshot(): then only results were compared. */
  statesCompared: boolean;
  /** At most one finding of a kind, the first. */
  findings: CheckFinding[];
  /** What is allowed and perhaps not meant: upcalls that are missing, or nearly there. */
  notes: string[];
}

const optionNames = ["operations", "seed", "operationBytes"] as const;
const maxRollback = 12;

/**
 * Runs the machine module at `path` (or the machines that a factory makes) over random operations with random rollbacks: two
 * instances side by side, and a third that executes only what was not rolled back. A module may export
 * `sampleOperation(random)`, which makes one valid operation from numbers in [0, 1).
 * Rejects with MACHINE_LOAD_FAILED, MACHINE_INVALID, INVALID_OPTION or UNKNOWN_OPTION.
 */
export async function checkMachine(machine: string | URL | (() => Machine), options: CheckOptions = {}): Promise<CheckReport> {
  checkOptions("checkMachine", options, optionNames);
  const operations = checkInteger("operations", options.operations ?? 2000, 1, 10_000_000);
  const seed = checkInteger("seed", options.seed ?? randomInt(2 ** 32), 0, 2 ** 32 - 1);
  const operationBytes = checkInteger("operationBytes", options.operationBytes ?? 64, 1, 1 << 20);
  const module = await loadMachineModule(machine);
  const source = new OperationSource(seed, operationBytes, module.sampleOperation);
  return new Check(await Promise.all([0, 1, 2, 3].map((index) => module.instantiate(index))), source, seed).run(operations);
}

function notesOn(machine: Machine): string[] {
  const { digest, snapshot, restore } = machine;
  const lacking = (["snapshot", "restore"] as const).filter((upcall) => machine[upcall] === undefined);
  return [
    ...nearlyUpcalls(machine).map(([name, upcall]) => `The machine has ${name}(), which is no upcall. Is ${upcall} meant?`),
    ...(digest === undefined && snapshot === undefined
      ? ["The machine has no digest() and no snapshot(): only results were compared."]
      : []),
    ...(snapshot === undefined || restore === undefined
      ? [`The machine has no ${lacking.join("() and no ")}(): no checkpoints are taken, its log fills up, and members can't be replaced.`]
      : []),
  ];
}

class Check {
  readonly #first: CheckedInstance;
  readonly #second: CheckedInstance;
  /** Executes what is committed, once and in order, from bytes that nobody overwrites. */
  readonly #straight: CheckedInstance;
  readonly #fresh: Machine;
  readonly #source: OperationSource;
  readonly #findings = new Map<string, CheckFinding>();
  readonly #report: Omit<CheckReport, "ok" | "findings" | "notes">;
  /** What stands uncommitted, from `#committed` + 1: the operation, its result and the digest after it. */
  #log: { operation: Buffer; timeMs: number; threw: boolean; result: string; digest: string | undefined }[] = [];
  #committed = 0;
  #committedDigest: string | undefined;

  constructor(machines: Machine[], source: OperationSource, seed: number) {
    const found = (problem: UpcallProblem, seqno: number) => this.#find(problem.kind, seqno, problem.message);
    this.#first = new CheckedInstance(machines[0]!, "poisoned", found);
    this.#second = new CheckedInstance(machines[1]!, "poisoned", found);
    this.#straight = new CheckedInstance(machines[2]!, "kept", found);
    this.#fresh = machines[3]!;
    this.#source = source;
    this.#committedDigest = this.#first.digest();
    this.#report = {
      seed,
      operations: 0,
      rollbacks: 0,
      commits: 0,
      queries: 0,
      threw: 0,
      statesCompared: this.#committedDigest !== undefined,
    };
  }

  run(operations: number): CheckReport {
    while (this.#report.operations < operations && !this.#broken()) {
      const roll = this.#source.random();
      if (roll < 0.08 && this.#log.length > 0) this.#rollback();
      else if (roll < 0.14 && this.#log.length > 0) this.#commit(1 + this.#source.below(this.#log.length));
      else if (roll < 0.3 && this.#first.machine.query !== undefined) this.#query();
      else this.#execute();
    }
    if (this.#log.length > 0 && !this.#broken()) this.#commit(this.#log.length);
    if (!this.#broken()) this.#checkRestore();
    const findings = [...this.#findings.values()];
    return { ok: findings.length === 0, ...this.#report, findings, notes: notesOn(this.#fresh) };
  }

  get #end(): number {
    return this.#committed + this.#log.length;
  }

  /** Once instances differ, everything after it differs too. */
  #broken(): boolean {
    return this.#findings.size > 0;
  }

  #find(kind: CheckFinding["kind"], seqno: number, message: string): void {
    if (!this.#findings.has(kind)) this.#findings.set(kind, { kind, seqno, message });
  }

  #execute(): void {
    const seqno = this.#end + 1;
    const operation = this.#source.operation();
    const timeMs = this.#source.timeMs();
    const before = this.#log.at(-1)?.digest ?? this.#committedDigest;
    const first = this.#first.execute(seqno, operation, timeMs);
    const second = this.#second.execute(seqno, operation, timeMs);
    this.#report.operations++;
    if (this.#broken()) return;
    const shown = `operation ${seqno} (${operation.length} bytes: ${operation.toString("hex", 0, 32)})`;
    if (first.text !== second.text) {
      this.#find("results-differ", seqno, `Two instances answered ${shown} differently: ${first.text} and ${second.text}.`);
      return;
    }
    const digest = this.#compareStates(seqno, `after ${shown}`);
    if (first.threw) {
      this.#report.threw++;
      if (digest !== before) {
        this.#find(
          "threw-halfway",
          seqno,
          `${shown} threw (${first.text}) and changed the state all the same; change nothing before throwing.`,
        );
      }
    }
    this.#log.push({ operation, timeMs, threw: first.threw, result: first.text, digest });
  }

  /** A random operation as a query: equal answers, and the state left as it was. */
  #query(): void {
    const operation = this.#source.operation();
    const timeMs = this.#source.timeMs();
    const seqno = this.#end;
    const first = this.#first.query(seqno, operation, timeMs);
    const second = this.#second.query(seqno, operation, timeMs);
    this.#report.queries++;
    if (this.#broken()) return;
    const shown = `the query of ${operation.length} bytes (${operation.toString("hex", 0, 32)}) at seqno ${seqno}`;
    if (first.text !== second.text) {
      this.#find("results-differ", seqno, `Two instances answered ${shown} differently: ${first.text} and ${second.text}.`);
    } else if (this.#first.digest() !== (this.#log.at(-1)?.digest ?? this.#committedDigest)) {
      this.#find("query-changed-state", seqno, `${shown} changed the machine's state; a query must leave it as it was.`);
    }
  }

  #rollback(): void {
    const from = this.#end;
    const count = Math.min(this.#log.length, 1 + this.#source.below(maxRollback));
    const to = from - count;
    const undone = this.#log.splice(this.#log.length - count);
    const operations: Buffer[] = [];
    const seqnos: number[] = [];
    for (let index = undone.length - 1; index >= 0; index--) {
      if (undone[index]!.threw) continue;
      operations.push(undone[index]!.operation);
      seqnos.push(to + 1 + index);
    }
    this.#report.rollbacks++;
    if (operations.length > 0) for (const instance of [this.#first, this.#second]) instance.rollback(from, to, operations, seqnos);
    if (this.#broken()) return;
    const digest = this.#compareStates(to, `after the rollback from ${from} to ${to}`);
    const expected = this.#log.at(-1)?.digest ?? this.#committedDigest;
    if (digest !== expected) {
      this.#find(
        "rollback-wrong",
        to,
        `The rollback from ${from} to ${to} did not bring the state of seqno ${to} back (digest ${short(digest)}, was ${short(expected)}).`,
      );
    }
  }

  #commit(count: number): void {
    const done = this.#log.splice(0, count);
    const last = this.#committed + count;
    for (const { operation, timeMs, result, digest } of done) {
      const seqno = ++this.#committed;
      const straight = this.#straight.execute(seqno, operation, timeMs);
      if (this.#broken()) return;
      if (straight.text !== result) {
        this.#find(
          "rollback-wrong",
          seqno,
          `Operation ${seqno} was answered ${result}; an instance that never rolled back answers ${straight.text}.`,
        );
      } else if (this.#straight.digest() !== digest) {
        const why =
          "a rollback did not undo everything, or the machine kept an operation's bytes beyond the upcall (they are overwritten; set copy: true)";
        this.#find("rollback-wrong", seqno, `The state at seqno ${seqno} is not that of an instance that never rolled back: ${why}.`);
      }
    }
    this.#committedDigest = done.at(-1)!.digest;
    this.#report.commits++;
    for (const instance of [this.#first, this.#second, this.#straight]) instance.commit(last);
    if (!this.#broken()) this.#compareStates(last, `after commit(${last})`, this.#log.at(-1)?.digest ?? this.#committedDigest);
  }

  #compareStates(seqno: number, when: string, expected?: string): string | undefined {
    const digest = this.#first.digest();
    const other = this.#second.digest();
    if (digest !== other)
      this.#find("states-differ", seqno, `Two instances have different states ${when}: digests ${short(digest)} and ${short(other)}.`);
    else if (expected !== undefined && digest !== expected)
      this.#find("states-differ", seqno, `The state changed ${when}; commit must not change it.`);
    return digest;
  }

  #checkRestore(): void {
    const machine = this.#straight.machine;
    if (machine.snapshot === undefined || this.#fresh.restore === undefined) return;
    const fresh = new CheckedInstance(this.#fresh, "kept", (problem, seqno) => this.#find(problem.kind, seqno, problem.message));
    fresh.restore(Buffer.from(wholeSnapshot(machine.snapshot())));
    if (!this.#broken() && fresh.digest() !== this.#straight.digest()) {
      this.#find("restore-wrong", this.#committed, "restore(snapshot()) does not give a machine of the same digest.");
    }
  }
}

function short(digest: string | undefined): string {
  return digest === undefined ? "none" : digest.slice(0, 16);
}
