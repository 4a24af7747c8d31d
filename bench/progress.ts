import { type Bar, Presets, SingleBar } from "cli-progress";

/** A bar on standard error, drawn between measurements only, so that it costs the measured processes nothing. */
export class Progress {
  readonly #bar: Bar;

  constructor(total: number, what: string) {
    const options = {
      format: `${what} {bar} {percentage}% {step}`,
      stream: process.stderr,
      hideCursor: true,
      clearOnComplete: true,
      etaBuffer: 1,
    };
    this.#bar = new SingleBar({ ...options, noTTYOutput: false }, Presets.shades_classic);
    this.#bar.start(total, 0, { step: "" });
  }

  step(what: string): void {
    this.#bar.increment(1, { step: what });
  }

  stop(): void {
    this.#bar.stop();
  }
}
