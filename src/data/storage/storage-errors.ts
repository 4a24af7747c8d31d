/** Failures of a disk as errors with stable codes (docs/errors.md). */
import { type ErrorCode, SquallError } from "../../errors.js";

const codes: Readonly<Record<string, ErrorCode>> = {
  ENOSPC: "STORAGE_FULL",
  EDQUOT: "STORAGE_FULL",
  EACCES: "STORAGE_DENIED",
  EPERM: "STORAGE_DENIED",
  EROFS: "STORAGE_DENIED",
  ENOTDIR: "STORAGE_DENIED",
  // A link that leads nowhere, a place that takes no directories, a directory that was removed under the replica.
  ENOENT: "STORAGE_DENIED",
  EEXIST: "STORAGE_DENIED",
  EBUSY: "STORAGE_LOCKED",
};

const advice: Readonly<Record<string, string>> = {
  STORAGE_FULL: "no room is left on the device of the data directory: free some and start the replica again",
  STORAGE_DENIED: "no permission for the data directory, or it is none, or can't be made there: give the replica's user a directory",
  STORAGE_LOCKED: "another process uses the data directory: end it, or give this replica another one",
  STORAGE_FAILED: "the disk of the data directory failed; what is on it is not known: check it, then open it with repair",
};

/** `what` was under way. A SquallError stays as it is. */
export function storageError(error: Error, what: string): SquallError {
  if (error instanceof SquallError) return error;
  const code = codes[(error as NodeJS.ErrnoException).code ?? ""] ?? "STORAGE_FAILED";
  return new SquallError(code, `${what}: ${advice[code]} (${error.message})`, { cause: error });
}

export function corrupt(what: string): SquallError {
  return new SquallError(
    "STORAGE_CORRUPT",
    `the data directory is damaged: ${what}. Nothing is read from it. With repair the replica gives up what is there and rejoins from its peers`,
  );
}

export function misused(what: string): SquallError {
  return new SquallError("INVARIANT_BROKEN", `storage: ${what}`);
}
