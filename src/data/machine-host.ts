/** Runs the upcalls of one machine. Between a batch and its results nothing is allocated per operation. */
import { createHash } from "node:crypto";
import { types } from "node:util";
import type { ErrorCode } from "../errors.js";
import type { Machine } from "../machine.js";
import { ReplicaRow, ResultStatus, RowKind } from "./binding.js";
import { RowContext } from "./operation-context.js";
import { joinWords } from "./seqno.js";
import { type SnapshotBytes, wholeSnapshot } from "./snapshot-bytes.js";
import { ViewCache } from "./view-cache.js";

/** Longest error text, in bytes, that travels in a reply. */
export const MaxErrorTextBytes = 1024;
/** Room for the results of one batch, besides that for the longest one. A batch that fills it goes on in the next upcall. */
const BatchResultBytes = 256 * 1024;
const Poison = 0xdb;
const NoBytes = new Uint8Array(0);

/** Why a machine stands still. `seqno` is the operation that stopped it, or the bound of the commit, rollback or restore. */
export interface MachineFailure {
  upcall: "speculativelyExecute" | "query" | "rollback" | "commit" | "restore";
  seqno: number;
  code: Extract<ErrorCode, "MACHINE_THREW" | "MACHINE_RETURNED_PROMISE" | "MACHINE_RETURNED_INVALID">;
  /** "name: message", at most MaxErrorTextBytes of UTF-8. */
  text: string;
  /** What was thrown, as it was. */
  error: unknown;
}

export interface MachineHostOptions {
  machine: Machine;
  /** Rows of one batch upcall (ReplicaRow). */
  rows: number;
  /** Bytes of the operations of one batch. */
  arenaBytes: number;
  /** The longest result; a longer one is replaced by a typed error, at every replica alike. */
  maxResultBytes: number;
  /** Poisons each operation after its upcall, so that a machine which keeps it is noticed; compares digests around each query. */
  debug?: boolean;
  onFailure(failure: MachineFailure): void;
}

export class MachineHost {
  readonly machine: Machine;
  readonly rows: Uint32Array;
  readonly results: Uint8Array;
  readonly #operations: ViewCache;
  readonly #context: RowContext;
  readonly #copy: boolean;
  readonly #debug: boolean;
  readonly #maxResultBytes: number;
  readonly #resultReserve: number;
  readonly #onFailure: (failure: MachineFailure) => void;
  /** Operations above the committed point that threw: they left no effect, so a rollback does not name them. */
  readonly #threw = new Set<number>();
  #resultsEnd = 0;
  #committed = 0;
  #failure: MachineFailure | undefined;

  constructor(options: MachineHostOptions) {
    this.machine = options.machine;
    this.rows = new Uint32Array(options.rows * ReplicaRow.Stride);
    this.#resultReserve = Math.max(options.maxResultBytes, MaxErrorTextBytes);
    this.results = new Uint8Array(this.#resultReserve + BatchResultBytes);
    this.#operations = new ViewCache(options.arenaBytes);
    this.#context = new RowContext(this.rows);
    this.#copy = options.machine.copy === true;
    this.#debug = options.debug === true;
    this.#maxResultBytes = options.maxResultBytes;
    this.#onFailure = options.onFailure;
  }

  /** Where the native side puts the operations of a batch. */
  get arena(): Uint8Array {
    return this.#operations.region;
  }
  /** Why the machine stands still, if it does. */
  get failure(): MachineFailure | undefined {
    return this.#failure;
  }
  /** True after a rollback, commit or restore upcall threw, or a query changed the state: the state is unknown, and no agreement can mend it. */
  get broken(): boolean {
    return this.#failure !== undefined && this.#failure.upcall !== "speculativelyExecute";
  }

  /** Executes rows [0, count) in order; returns how many were executed. */
  execute(count: number): number {
    if (this.#failure !== undefined) return 0;
    const { rows, machine } = this;
    const context = this.#context;
    this.#resultsEnd = 0;
    let index = 0;
    let base = 0;
    try {
      for (; index < count; index++, base += ReplicaRow.Stride) {
        if (this.results.length - this.#resultsEnd < this.#resultReserve) return index;
        if (rows[base + ReplicaRow.Status] === RowKind.Query) {
          this.#query(base);
          if (this.#failure !== undefined) return index + 1;
          continue;
        }
        const seqno = joinWords(rows[base + ReplicaRow.SeqnoLo] as number, rows[base + ReplicaRow.SeqnoHi] as number);
        const offset = rows[base + ReplicaRow.Offset] as number;
        const length = rows[base + ReplicaRow.Length] as number;
        const operation = this.#copy ? this.#operations.copy(offset, length) : this.#operations.view(offset, length);
        context.enter(base);
        const result = machine.speculativelyExecute(seqno, operation, context);
        if (result === undefined) {
          rows[base + ReplicaRow.Status] = ResultStatus.Ok;
          rows[base + ReplicaRow.ResultLength] = 0;
        } else if (types.isUint8Array(result)) {
          this.#takeResult(base, result);
        } else {
          return this.#refuseResult(index, base, seqno, result);
        }
        if (this.#debug && !this.#copy) operation.fill(Poison);
      }
    } catch (error) {
      const seqno = joinWords(rows[base + ReplicaRow.SeqnoLo] as number, rows[base + ReplicaRow.SeqnoHi] as number);
      this.#threw.add(seqno);
      this.#fail(base, { upcall: "speculativelyExecute", seqno, code: "MACHINE_THREW", text: errorText(error), error });
      return index + 1;
    }
    return index;
  }

  /** Runs the queries of rows [0, count) outside the log; returns how many were run. */
  query(count: number): number {
    if (this.#failure !== undefined) return 0;
    this.#resultsEnd = 0;
    for (let index = 0; index < count; index++) {
      if (this.#failure !== undefined || this.results.length - this.#resultsEnd < this.#resultReserve) return index;
      this.#query(index * ReplicaRow.Stride);
    }
    return count;
  }

  /** Undoes the operations of (toSeqno, fromSeqno], given newest first, in one upcall. */
  rollback(fromSeqno: number, toSeqno: number, operations: Buffer[], seqnos: number[]): void {
    for (const seqno of this.#threw) if (seqno > toSeqno) this.#threw.delete(seqno);
    if (this.broken) return;
    try {
      if (operations.length > 0) rejectPromise(this.machine.rollback(fromSeqno, toSeqno, operations, seqnos));
    } catch (error) {
      this.#break("rollback", toSeqno, error);
      return;
    }
    // The operation that stopped the machine is gone from the log, and with it the reason.
    if (this.#failure !== undefined && this.#failure.seqno > toSeqno) this.#failure = undefined;
  }

  /** True when the operation at `seqno` threw, so that there is nothing of it to undo. */
  hasThrown(seqno: number): boolean {
    return this.#threw.has(seqno);
  }

  /** True when an operation above `seqno` threw. */
  hasThrownAbove(seqno: number): boolean {
    for (const thrown of this.#threw) if (thrown > seqno) return true;
    return false;
  }

  /** Tells the machine that nothing at or below `seqno` will be rolled back. */
  commit(seqno: number): void {
    if (seqno <= this.#committed) return;
    this.#committed = seqno;
    if (this.#threw.size > 0) for (const thrown of this.#threw) if (thrown <= seqno) this.#threw.delete(thrown);
    if (this.broken || this.machine.commit === undefined) return;
    try {
      rejectPromise(this.machine.commit(seqno));
    } catch (error) {
      this.#break("commit", seqno, error);
    }
  }

  /** Goes on after the failure at `seqno`, once all replicas have been found to have failed alike. */
  resume(): void {
    if (!this.broken) this.#failure = undefined;
  }

  /** Digest of the state, or the bytes to hash for it; undefined when the machine offers neither. Throws what the machine throws. */
  digestOrSnapshot(): { digest: Uint8Array } | { snapshot: Uint8Array } | undefined {
    if (this.machine.digest !== undefined) return { digest: this.machine.digest() };
    if (this.machine.snapshot !== undefined) return { snapshot: wholeSnapshot(this.machine.snapshot()) };
    return undefined;
  }

  /** Throws what the machine throws. */
  snapshot(): SnapshotBytes {
    if (this.machine.snapshot === undefined) throw new TypeError("the machine has no snapshot");
    return this.machine.snapshot();
  }

  /** The committed state at `seqno` takes the place of all that was executed. False: the machine failed and is broken. */
  restore(seqno: number, snapshot: Uint8Array): boolean {
    this.#threw.clear();
    this.#failure = undefined;
    this.#committed = seqno;
    try {
      if (this.machine.restore === undefined) throw new TypeError("the machine has no restore");
      rejectPromise(this.machine.restore(snapshot));
      return true;
    } catch (error) {
      this.#break("restore", seqno, error);
      return false;
    }
  }

  #takeResult(base: number, result: Uint8Array): void {
    const { rows } = this;
    const length = result.length;
    if (length > this.#maxResultBytes) {
      rows[base + ReplicaRow.Status] = ResultStatus.RanOverSize;
      rows[base + ReplicaRow.ResultLength] = 0;
      return;
    }
    if (length <= 32) for (let i = 0; i < length; i++) this.results[this.#resultsEnd + i] = result[i] as number;
    else this.results.set(result, this.#resultsEnd);
    this.#resultsEnd += length;
    rows[base + ReplicaRow.Status] = ResultStatus.Ok;
    rows[base + ReplicaRow.ResultLength] = length;
  }

  /** A query has no effect: what it throws goes to its client, and the machine goes on. */
  #query(base: number): void {
    const { rows, machine } = this;
    if (machine.query === undefined) {
      rows[base + ReplicaRow.Status] = ResultStatus.QueryUnsupported;
      rows[base + ReplicaRow.ResultLength] = 0;
      return;
    }
    const before = this.#debug ? this.#stateText() : undefined;
    const offset = rows[base + ReplicaRow.Offset] as number;
    const length = rows[base + ReplicaRow.Length] as number;
    try {
      const operation = this.#copy ? this.#operations.copy(offset, length) : this.#operations.view(offset, length);
      this.#context.enter(base);
      const result = machine.query(operation, this.#context);
      if (this.#debug && !this.#copy) operation.fill(Poison);
      if (result === undefined) this.#takeResult(base, NoBytes);
      else if (types.isUint8Array(result)) this.#takeResult(base, result);
      else this.#takeError(base, describeInvalid("query", result).text);
    } catch (error) {
      this.#takeError(base, errorText(error));
    }
    if (!this.#debug || this.#stateText() === before) return;
    const seqno = joinWords(rows[base + ReplicaRow.SeqnoLo] as number, rows[base + ReplicaRow.SeqnoHi] as number);
    this.#break("query", seqno, new TypeError("the query changed the machine's state; a query must leave it as it was"));
  }

  #stateText(): string | undefined {
    const state = this.digestOrSnapshot();
    if (state === undefined) return undefined;
    return "digest" in state ? Buffer.from(state.digest).toString("hex") : createHash("sha256").update(state.snapshot).digest("hex");
  }

  #refuseResult(index: number, base: number, seqno: number, result: unknown): number {
    const { code, text } = describeInvalid("speculativelyExecute", result);
    this.#fail(base, { upcall: "speculativelyExecute", seqno, code, text, error: undefined });
    return index + 1;
  }

  #fail(base: number, failure: MachineFailure): void {
    this.#takeError(base, failure.text);
    this.#failure = failure;
    this.#onFailure(failure);
  }

  #takeError(base: number, errorText: string): void {
    const text = Buffer.from(errorText, "utf8");
    this.results.set(text, this.#resultsEnd);
    this.#resultsEnd += text.length;
    this.rows[base + ReplicaRow.Status] = ResultStatus.MachineThrew;
    this.rows[base + ReplicaRow.ResultLength] = text.length;
  }

  #break(upcall: "query" | "rollback" | "commit" | "restore", seqno: number, error: unknown): void {
    this.#failure = { upcall, seqno, code: "MACHINE_THREW", text: errorText(error), error };
    this.#onFailure(this.#failure);
  }
}

/** "name: message" of anything thrown, cut to MaxErrorTextBytes. Never throws itself. */
export function errorText(error: unknown): string {
  let text: string;
  try {
    text = error instanceof Error ? `${error.name}: ${error.message}` : `threw ${String(error)}`;
  } catch {
    text = "threw a value that can't be shown";
  }
  const bytes = Buffer.from(text, "utf8");
  if (bytes.length <= MaxErrorTextBytes) return text;
  // Cutting may split a character, whose replacement is longer than what is left of it.
  return bytes.toString("utf8", 0, MaxErrorTextBytes - 3).replace(/\uFFFD+$/, "");
}

/** What replicas compare to find out whether they failed alike. */
export function failureDigest(failure: MachineFailure): Buffer {
  return createHash("sha256").update(failure.code).update("\0").update(failure.text).digest();
}

/** What is wrong with a result that is no Uint8Array. */
function describeInvalid(upcall: string, result: unknown): { code: MachineFailure["code"]; text: string } {
  const promise = isThenable(result);
  if (result instanceof Promise) result.catch(() => {});
  const code = promise ? "MACHINE_RETURNED_PROMISE" : "MACHINE_RETURNED_INVALID";
  const what = promise ? "a promise" : result === null ? "null" : `a value of type ${typeof result}`;
  return { code, text: `${code}: ${upcall} returned ${what}; it must return a Uint8Array or undefined, synchronously` };
}

function isThenable(value: unknown): boolean {
  if ((typeof value !== "object" && typeof value !== "function") || value === null) return false;
  try {
    return typeof (value as { then?: unknown }).then === "function";
  } catch {
    return false;
  }
}

function rejectPromise(returned: unknown): void {
  if (!isThenable(returned)) return;
  if (returned instanceof Promise) returned.catch(() => {});
  throw new TypeError("the upcall returned a promise; upcalls must be synchronous");
}
