/** What is known about an operation whose promise was rejected. */
export type Outcome = "executed" | "not-executed" | "unknown";

/** Stable codes; docs/errors.md lists each with what to do. */
export type ErrorCode =
  // configuration and use
  | "INVALID_OPTION"
  | "UNKNOWN_OPTION"
  | "CLUSTER_FILE_MISSING"
  | "CLUSTER_FILE_INVALID"
  | "SECRET_MISSING"
  | "SECRET_INVALID"
  | "MACHINE_INVALID"
  | "MACHINE_LOAD_FAILED"
  | "THREAD_MISMATCH"
  | "ADDRESS_IN_USE"
  | "ADDRESS_INVALID"
  | "RUNTIME_UNSUPPORTED"
  | "NATIVE_MISSING"
  | "CLOSED"
  | "ABORTED"
  | "WORKER_FAILED"
  // connect
  | "NOBODY_THERE"
  | "WRONG_CLUSTER"
  | "WRONG_KEY"
  | "VERSION_MISMATCH"
  | "NOT_BOOTSTRAPPED"
  | "CONNECT_TIMEOUT"
  // bootstrap
  | "ALREADY_BOOTSTRAPPED"
  | "BOOTSTRAP_INCOMPLETE"
  // membership
  | "MEMBERS_INVALID"
  | "MEMBERS_UNREACHABLE"
  | "MEMBERS_NOT_BLANK"
  | "MEMBERS_CONFIG"
  | "MEMBERS_REFUSED"
  | "MEMBERS_INCOMPLETE"
  // a new life after a disaster
  | "NEW_LIFE_REFUSED"
  | "NEW_LIFE_INCOMPLETE"
  // operations
  | "OPERATION_TOO_LARGE"
  | "QUEUE_FULL"
  | "DEADLINE_EXCEEDED"
  | "LOG_FULL"
  | "SESSION_EVICTED"
  | "LIFE_CHANGED"
  | "MACHINE_THREW"
  | "MACHINE_RETURNED_PROMISE"
  | "RESULT_TOO_LARGE"
  | "MACHINE_RETURNED_INVALID"
  | "QUERY_UNSUPPORTED"
  // replica
  | "INVARIANT_BROKEN"
  // storage
  | "STORAGE_FOREIGN"
  | "STORAGE_VERSION"
  | "STORAGE_LOCKED"
  | "STORAGE_CORRUPT"
  | "STORAGE_FULL"
  | "STORAGE_FAILED"
  | "STORAGE_DENIED";

const brand = Symbol.for("squall.error");

/** Every error of Squall: `code` is stable, `outcome` is set for operations. Recognized across copies of the package. */
export class SquallError extends Error {
  readonly code: ErrorCode;
  readonly outcome: Outcome | undefined;

  constructor(code: ErrorCode, message: string, options: { outcome?: Outcome; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "SquallError";
    this.code = code;
    this.outcome = options.outcome;
    Object.defineProperty(this, brand, { value: true });
  }

  static [Symbol.hasInstance](value: unknown): boolean {
    return typeof value === "object" && value !== null && (value as Record<symbol, unknown>)[brand] === true;
  }
}

/** For operations that come to nothing for want of replicas: what to look at. */
export const whenNothingCompletes =
  "If no operation completes, `squall status` says why; a group that has lost the memory of more than f replicas goes on only by `squall recover`.";
