/** One machine under check: its upcalls, with what they must not do caught. */
import { createHash } from "node:crypto";
import { wholeSnapshot } from "../data/snapshot-bytes.js";
import type { Machine, OperationContext } from "../machine.js";
import { Sfc32 } from "./operations.js";

export interface UpcallProblem {
  kind: "returned-promise" | "returned-invalid" | "upcall-threw" | "threw-halfway" | "own-clock" | "own-randomness";
  message: string;
}

/** An upcall's answer in a form that compares. */
export interface Answer {
  threw: boolean;
  /** "0x..." of the result, or "threw name: message". */
  text: string;
}

const poison = 0xdb;

export class CheckedInstance {
  readonly machine: Machine;
  readonly #bytes: "poisoned" | "kept";
  readonly #found: (problem: UpcallProblem, seqno: number) => void;

  /** With "poisoned" bytes an operation is overwritten after its upcall, as the data plane does. */
  constructor(machine: Machine, bytes: "poisoned" | "kept", found: (problem: UpcallProblem, seqno: number) => void) {
    this.machine = machine;
    this.#bytes = machine.copy === true ? "kept" : bytes;
    this.#found = found;
  }

  execute(seqno: number, operation: Buffer, timeMs: number): Answer {
    return this.#answer("speculativelyExecute", seqno, operation, timeMs, (given, context) =>
      this.machine.speculativelyExecute(seqno, given, context),
    );
  }

  /** The machine must have a query. */
  query(seqno: number, operation: Buffer, timeMs: number): Answer {
    return this.#answer("query", seqno, operation, timeMs, (given, context) => this.machine.query?.(given, context));
  }

  #answer(
    name: string,
    seqno: number,
    operation: Buffer,
    timeMs: number,
    upcall: (given: Buffer, context: OperationContext) => unknown,
  ): Answer {
    const given = Buffer.from(operation);
    const numbers = new Sfc32(seqno);
    const context: OperationContext = { timeMs, random: () => numbers.next() };
    try {
      const result: unknown = this.#watched(seqno, name, () => upcall(given, context));
      if (result === undefined) return { threw: false, text: "nothing" };
      if (result instanceof Uint8Array) return { threw: false, text: `0x${Buffer.from(result).toString("hex")}` };
      this.#refuse(seqno, name, result);
      return { threw: false, text: "an invalid value" };
    } catch (error) {
      return { threw: true, text: `threw ${describeThrown(error)}` };
    } finally {
      if (this.#bytes === "poisoned") given.fill(poison);
    }
  }

  rollback(from: number, to: number, operations: Buffer[], seqnos: number[]): void {
    const given = operations.map((operation) => Buffer.from(operation));
    this.#mustReturn(to, "rollback", () => this.machine.rollback(from, to, given, [...seqnos]));
    if (this.#bytes === "poisoned") for (const operation of given) operation.fill(poison);
  }

  commit(seqno: number): void {
    if (this.machine.commit !== undefined) this.#mustReturn(seqno, "commit", () => this.machine.commit?.(seqno));
  }

  restore(snapshot: Uint8Array): void {
    this.#mustReturn(0, "restore", () => this.machine.restore?.(snapshot));
  }

  /** The state's digest, hex; undefined when the machine offers neither digest nor snapshot. */
  digest(): string | undefined {
    if (this.machine.digest !== undefined) return Buffer.from(this.machine.digest()).toString("hex");
    if (this.machine.snapshot !== undefined) return createHash("sha256").update(wholeSnapshot(this.machine.snapshot())).digest("hex");
    return undefined;
  }

  /** For upcalls that have no answer and must not throw. */
  #mustReturn(seqno: number, name: string, upcall: () => unknown): void {
    try {
      const result = this.#watched(seqno, name, upcall);
      if (isThenable(result)) this.#refuse(seqno, name, result);
    } catch (error) {
      this.#found(
        { kind: "upcall-threw", message: `${name} threw ${describeThrown(error)}; only speculativelyExecute and query may.` },
        seqno,
      );
    }
  }

  #refuse(seqno: number, name: string, result: unknown): void {
    if (isThenable(result)) {
      Promise.resolve(result).catch(() => undefined);
      this.#found(
        { kind: "returned-promise", message: `${name} returned a promise; upcalls are synchronous, so it must not be async.` },
        seqno,
      );
    } else {
      const what = result === null ? "null" : `a value of type ${typeof result}`;
      this.#found({ kind: "returned-invalid", message: `${name} returned ${what}; it must return a Uint8Array or undefined.` }, seqno);
    }
  }

  /** Runs an upcall with the clock and randomness of the process watched: two replicas see them differently. */
  #watched(seqno: number, name: string, upcall: () => unknown): unknown {
    const { now } = Date;
    const { random } = Math;
    Date.now = () => {
      this.#found({ kind: "own-clock", message: `${name} called Date.now(), which differs between replicas; use context.timeMs.` }, seqno);
      return now();
    };
    Math.random = () => {
      this.#found(
        { kind: "own-randomness", message: `${name} called Math.random(), which differs between replicas; use context.random().` },
        seqno,
      );
      return random();
    };
    try {
      return upcall();
    } finally {
      Date.now = now;
      Math.random = random;
    }
  }
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof value === "object" && value !== null && typeof (value as { then?: unknown }).then === "function";
}

function describeThrown(error: unknown): string {
  return error instanceof Error ? `${error.name}: ${error.message}` : String(error);
}
