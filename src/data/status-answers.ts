/** What a replica answers to those who ask for its status. */
import type { ReplicaReport } from "../status.js";

/** A state digest may be costly: replicas compute one for askers at most so often. */
const DigestIntervalUs = 100_000;

export class StatusAnswers {
  readonly #padBytes: number;
  readonly #report: () => ReplicaReport;
  readonly #digestNow: () => Buffer;
  #digestUs = Number.NEGATIVE_INFINITY;
  #digest: string | undefined;

  /** `padBytes`: no answer is padded beyond this. `digestNow` may throw what the machine throws. */
  constructor(padBytes: number, report: () => ReplicaReport, digestNow: () => Buffer) {
    this.#padBytes = padBytes;
    this.#report = report;
    this.#digestNow = digestNow;
  }

  /**
   * A first body byte of 1 asks for the digest too. The answer is padded to the length of the question, up to one datagram: so
   * that an operator learns what comes through in both directions. Padding never makes it longer than the question.
   */
  answer(nowUs: number, body: Uint8Array): Uint8Array {
    const report = this.#report();
    if (body[0] === 1) {
      if (nowUs - this.#digestUs >= DigestIntervalUs) {
        this.#digestUs = nowUs;
        try {
          this.#digest = this.#digestNow().toString("hex");
        } catch {
          this.#digest = undefined;
        }
      }
      if (this.#digest !== undefined) report.digest = this.#digest;
    }
    const text = JSON.stringify(report).padEnd(Math.min(body.length, this.#padBytes));
    return Buffer.from(text);
  }
}
