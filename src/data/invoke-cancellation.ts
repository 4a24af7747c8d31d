import { SquallError, whenNothingCompletes } from "../errors.js";
import type { Cancellation } from "./completions.js";

/** Deadline and signal of one invocation. Its slot stays taken until the engine completes it, whatever the caller was told. */
export class InvokeCancellation implements Cancellation {
  settled = false;
  sent = false;
  readonly #reject: (error: SquallError) => void;
  #timer: NodeJS.Timeout | undefined;
  #signal: AbortSignal | undefined;
  #onAbort: (() => void) | undefined;

  constructor(reject: (error: SquallError) => void) {
    this.#reject = reject;
  }

  /** Starts the clock; nothing if the invocation has been settled at once. */
  watch(signal: AbortSignal | undefined, deadlineMs: number | undefined): void {
    if (this.settled) return;
    if (deadlineMs !== undefined) {
      this.#timer = setTimeout(
        () => this.#giveUp("DEADLINE_EXCEEDED", `The operation was not completed within ${deadlineMs} ms`, undefined),
        deadlineMs,
      );
    }
    if (signal !== undefined) {
      this.#signal = signal;
      this.#onAbort = () => this.#giveUp("ABORTED", "The operation was aborted", signal.reason);
      signal.addEventListener("abort", this.#onAbort, { once: true });
    }
  }

  release(): void {
    clearTimeout(this.#timer);
    if (this.#onAbort !== undefined) this.#signal?.removeEventListener("abort", this.#onAbort);
    this.#onAbort = undefined;
  }

  #giveUp(code: "DEADLINE_EXCEEDED" | "ABORTED", message: string, cause: unknown): void {
    if (this.settled) return;
    this.settled = true;
    this.release();
    const what = this.sent ? "it was sent and may be executed" : "it was not sent";
    const advice = code === "ABORTED" ? "" : ` ${whenNothingCompletes}`;
    this.#reject(new SquallError(code, `${message}; ${what}.${advice}`, { outcome: this.sent ? "unknown" : "not-executed", cause }));
  }
}
