import { expect } from "vitest";
import { loadBinding } from "../../src/data/load.js";
import { type ClusterOptions, SimulatedCluster } from "../../src/sim/cluster.js";
import { Oracle } from "../../src/sim/oracle.js";
import { Prng } from "../../src/sim/prng.js";
import { drawTiming } from "../../src/sim/timing.js";

/** A simulated cluster in which nothing goes wrong by itself, for tests that script what does: bootstrapped, one well-behaved client. */
export function quietCluster(
  name: string,
  options: Pick<ClusterOptions, "replicas"> & Partial<ClusterOptions>,
): { cluster: SimulatedCluster; oracle: Oracle; prng: Prng } {
  const prng = new Prng(1, name);
  const oracle = new Oracle();
  const cluster = new SimulatedCluster({
    binding: loadBinding(),
    seed: 1,
    prng,
    oracle,
    spares: 0,
    plans: [{ index: 0, outstanding: 1, ordered: false, misbehave: "none", crashAtUs: undefined, bursts: [] }],
    multicast: true,
    operations: 100,
    timing: drawTiming(prng.split("timing"), false),
    window: 16,
    protocol: "speculative",
    durability: "memory",
    diskSyncUs: [0, 0],
    mode: "adaptive",
    checkpointEvery: 0,
    guardsOff: 0,
    onEvent: (event) => {
      if (event.type === "invariant-broken") oracle.violate(event.message, event.replica);
    },
    onCommitted: () => {},
    ...options,
  });
  expect(cluster.start(prng.split("life"))).toBe(true);
  return { cluster, oracle, prng };
}
