import { type Bar, Presets, SingleBar } from "cli-progress";

/** A bar on standard error, drawn between measurements only, so that it costs the measured processes nothing. */
export class Progress {
  readonly #bar: Bar;

  /** `total`: in steps, or in seconds, where the remaining time is to be shown too. */
  constructor(total: number, what: string, { remaining = false } = {}) {
    const options = {
      format: `${what} {bar} {percentage}%${remaining ? ", {eta_formatted} left" : ""} {step}`,
      stream: process.stderr,
      hideCursor: true,
      clearOnComplete: true,
      etaBuffer: remaining ? 20 : 1,
    };
    this.#bar = new SingleBar({ ...options, noTTYOutput: false }, Presets.shades_classic);
    this.#bar.start(total, 0, { step: "" });
  }

  step(what: string, amount = 1): void {
    this.#bar.increment(amount, { step: what });
  }

  stop(): void {
    this.#bar.stop();
  }
}
