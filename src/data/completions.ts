/** What the client knows of one operation, and how its status in a reply becomes an error. */
import { SquallError } from "../errors.js";
import { ResultStatus } from "./binding.js";

/**
 * The callback form's answer. On success `error` is undefined and `result` is valid during the call only; on failure
 * `error` says why and `result` is empty. `seqno` is 0 when unknown.
 */
export type InvokeCallback = (error: SquallError | undefined, result: Buffer, seqno: number) => void;

/** An operation that may be given up before it is completed: by its deadline or its signal. */
export interface Cancellation {
  /** Settled early: what the engine says later is ignored. */
  settled: boolean;
  /** Handed to the engine: may execute even if given up. */
  sent: boolean;
  /** Removes timer and listener. */
  release(): void;
}

/** One outstanding or queued operation. The objects are reused; all fields are set at each use. */
export class Pending {
  active = false;
  resolve: ((result: Buffer) => void) | undefined;
  reject: ((error: SquallError) => void) | undefined;
  callback: InvokeCallback | undefined;
  cancellation: Cancellation | undefined;
  /** Of a request its RequestFlag, of a read its Consistency. */
  flags = 0;

  take(from: Pending): void {
    this.active = true;
    this.resolve = from.resolve;
    this.reject = from.reject;
    this.callback = from.callback;
    this.cancellation = from.cancellation;
    this.flags = from.flags;
    from.clear();
  }

  clear(): void {
    this.active = false;
    this.resolve = undefined;
    this.reject = undefined;
    this.callback = undefined;
    this.cancellation = undefined;
    this.flags = 0;
  }

  /** Settles the operation with an error, unless it was given up before. */
  fail(error: SquallError, seqno = 0): void {
    const { reject, callback } = this;
    if (!this.release()) return;
    if (reject !== undefined) reject(error);
    else if (callback !== undefined) callSafely(callback, error, NoBytes, seqno);
  }

  /** Forgets the operation; false if it was given up before. */
  release(): boolean {
    const { cancellation } = this;
    this.clear();
    if (cancellation === undefined) return true;
    if (cancellation.settled) return false;
    cancellation.settled = true;
    cancellation.release();
    return true;
  }
}

export const NoBytes = Buffer.alloc(0);

/** A user's callback that throws must not disturb the other operations of the batch: the error becomes an uncaught exception. */
export function callSafely(callback: InvokeCallback, error: SquallError | undefined, result: Buffer, seqno: number): void {
  try {
    callback(error, result, seqno);
  } catch (thrown) {
    queueMicrotask(() => {
      throw thrown;
    });
  }
}

/**
 * The error of a completion that is not Ok. `text` is the machine's error text, where there is one. A `query` changes nothing wherever it ran,
 * in the log too: nothing took effect.
 */
export function completionError(status: number, text: string, seqno = 1, query = false): SquallError {
  const outcome = query ? "not-executed" : "executed";
  switch (status) {
    case ResultStatus.MachineThrew: {
      const code = text.startsWith("MACHINE_RETURNED_PROMISE")
        ? "MACHINE_RETURNED_PROMISE"
        : text.startsWith("MACHINE_RETURNED_INVALID")
          ? "MACHINE_RETURNED_INVALID"
          : "MACHINE_THREW";
      return new SquallError(code, `The state machine failed on this operation, at every replica that answered: ${text}`, { outcome });
    }
    case ResultStatus.LogFull:
      return new SquallError(
        "LOG_FULL",
        "The replicas' log is full; the operation was refused. Raise limits.logEntries or limits.logBytes.",
        // Refused in the log is final. Refused by logs without any room left, a copy that is still under way might get in later.
        { outcome: seqno > 0 ? "not-executed" : "unknown" },
      );
    case ResultStatus.UnknownSession:
      return new SquallError("SESSION_EVICTED", "The replicas no longer know this client's session; connect again.", {
        outcome: "unknown",
      });
    case ResultStatus.QueryUnsupported:
      return new SquallError("QUERY_UNSUPPORTED", "The state machine has no query; use invoke, or give it one.", {
        outcome: "not-executed",
      });
    case ResultStatus.RanOverSize:
      return new SquallError(
        "RESULT_TOO_LARGE",
        `The ${query ? "query" : "operation"} was executed, but its result exceeds limits.operationBytes.`,
        {
          outcome,
        },
      );
    case ResultStatus.Stale:
      return new SquallError("SESSION_EVICTED", "The replicas no longer keep the reply to this operation; it may have been executed.", {
        outcome: "unknown",
      });
    default:
      return new SquallError("INVARIANT_BROKEN", `The replicas answered with an unknown status ${status}.`, { outcome: "unknown" });
  }
}
