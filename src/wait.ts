/** What an event loop does between a datagram sent and the next one that comes. */
import { SquallError } from "./errors.js";
import { describeValue, suggestName } from "./options.js";

/**
 * "block": the loop sleeps in the kernel. "yield": before it sleeps it looks for datagrams for at most 100 us at a time, offering the
 * processor to others (sched_yield) between looks. "spin": the same without offering it; for processes with cores of their own. Looking
 * begins only after a datagram was sent or came, ends for timers, immediates and other events of the loop, and pauses by itself while it
 * does not pay, or others want the core.
 */
export type WaitStrategy = "block" | "yield" | "spin";

export const waitStrategies: readonly WaitStrategy[] = ["block", "yield", "spin"];

/** Throws INVALID_OPTION unless it is a strategy; "block" for undefined. */
export function checkWait(value: unknown): WaitStrategy {
  if (value === undefined) return "block";
  const found = waitStrategies.find((name) => name === value);
  if (found !== undefined) return found;
  const hint = typeof value === "string" ? ` ${suggestName(value, waitStrategies)}` : "";
  throw new SquallError("INVALID_OPTION", `wait must be "block", "yield" or "spin"; it is ${describeValue(value)}.${hint}`);
}
