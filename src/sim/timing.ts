import type { ClusterTiming } from "../config-types.js";
import type { Prng } from "./prng.js";

/** Time-outs of a run: shorter than a cluster's defaults, so that a second of virtual time holds many reconciliations. */
export function drawTiming(prng: Prng): ClusterTiming {
  const syncMinMs = prng.pick([1, 2, 4]);
  return {
    syncMinMs,
    syncMaxMs: prng.pick([2, 5, 10]),
    syncEvery: prng.pick([8, 64, 4096]),
    syncTimeoutMs: prng.pick([5, 10, 20]),
    reconciliationTimeoutMs: prng.pick([5, 10, 20]),
    resendMs: prng.pick([1, 2, 5]),
  };
}
