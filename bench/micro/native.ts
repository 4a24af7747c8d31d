import { loadBinding } from "../../dist/data/load.js";
import { median, round } from "../statistics.js";

/** The native kernels time themselves: nanoseconds an iteration, the median of several runs. */
const kernels = [
  { name: "hash", what: "summary hash over a record" },
  { name: "seal", what: "seal a frame" },
  { name: "open", what: "open a frame" },
  { name: "codec", what: "write and parse a record" },
  { name: "session", what: "session table: look up, append, execute" },
] as const;
const sizes = [64, 1024];
const targetNs = 100e6;

export function nativeKernels(names: readonly string[]): void {
  const binding = loadBinding();
  console.log("\nnative kernels                                       bytes    ns/iteration");
  for (const { name, what } of kernels) {
    if (names.length > 0 && !names.includes(name)) continue;
    for (const bytes of sizes) {
      const trialNs = binding.micro(name, 1000, bytes);
      const iterations = Math.max(1000, Math.round(targetNs / trialNs / 5));
      const runs = Array.from({ length: 5 }, () => binding.micro(name, iterations, bytes));
      console.log(`  ${name.padEnd(8)} ${what.padEnd(42)} ${String(bytes).padStart(5)} ${String(round(median(runs))).padStart(15)}`);
    }
  }
}
