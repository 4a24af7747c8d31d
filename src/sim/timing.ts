import type { ClusterTiming } from "../config-types.js";
import type { Prng } from "./prng.js";

/**
 * Time-outs of a run: shorter than a cluster's defaults, so that a second of virtual time holds many reconciliations. `scripted`: who
 * plays a script sets its stage by cutting links, and heartbeats would tell of it too early.
 */
export function drawTiming(prng: Prng, scripted: boolean): ClusterTiming {
  const syncMinMs = prng.pick([1, 2, 4]);
  return {
    syncMinMs,
    syncMaxMs: prng.pick([2, 5, 10]),
    syncEvery: prng.pick([8, 64, 4096]),
    syncTimeoutMs: prng.pick([5, 10, 20]),
    reconciliationTimeoutMs: prng.pick([5, 10, 20]),
    resendMs: prng.pick([1, 2, 5]),
    heartbeatMs: scripted ? 200 : 2,
    detectMs: scripted ? 1_000 : prng.pick([10, 20]),
  };
}
