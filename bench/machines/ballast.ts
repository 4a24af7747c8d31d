import type { Machine } from "squall";
import counterMachine from "./counter.js";

const chunkBytes = 1 << 20;
/** MiB of state besides the counter; the bench that starts the replicas sets it. */
export const ballastVariable = "SQUALL_BENCH_BALLAST_MIB";

/** The counter beside a large state, which its snapshots hold: what a replica that comes back has to fetch. */
export default function ballastMachine(): Machine {
  const counter = counterMachine();
  const mebibytes = Number(process.env[ballastVariable] ?? 64);
  let ballast = Array.from({ length: mebibytes }, (_, index) => Buffer.alloc(chunkBytes, index + 1));
  return {
    ...counter,
    snapshot: () => [counter.snapshot!() as Uint8Array, ...ballast],
    restore(snapshot) {
      const bytes = Buffer.from(snapshot);
      counter.restore!(bytes.subarray(0, 8));
      ballast = Array.from({ length: mebibytes }, (_, index) =>
        Buffer.from(bytes.subarray(8 + index * chunkBytes, 8 + (index + 1) * chunkBytes)),
      );
    },
  };
}
