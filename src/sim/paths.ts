/** The paths between the ports of a run: clean ones, and those a seed draws. */
import type { LoopPath, NativeLoopHub } from "../data/binding.js";
import type { Prng } from "./prng.js";
import type { DrawnFaults } from "./profiles.js";

/** The ports of a run on its hub. */
export interface Ports {
  replicas: number[];
  clients: number[];
}

export const cleanPath: LoopPath = {
  baseDelayUs: 50,
  jitterUs: 5,
  lossPpm: 0,
  duplicatePpm: 0,
  reorderPpm: 0,
  reorderDelayUs: 0,
  corruptPpm: 0,
};

/** Each pair of ports gets delays of its own around the drawn ones. */
export function drawPath(faults: DrawnFaults, prng: Prng): LoopPath {
  return {
    baseDelayUs: Math.max(1, Math.round(faults.baseDelayUs * (0.5 + prng.unit()))),
    jitterUs: Math.round(faults.jitterUs * 2 * prng.unit()),
    lossPpm: Math.round(faults.lossPpm * 2 * prng.unit()),
    duplicatePpm: Math.round(faults.duplicatePpm * 2 * prng.unit()),
    reorderPpm: Math.round(faults.reorderPpm * 2 * prng.unit()),
    reorderDelayUs: faults.reorderDelayUs,
    corruptPpm: Math.round(faults.corruptPpm * 2 * prng.unit()),
  };
}

export function pathKey(from: number, to: number): number {
  return from * 65536 + to;
}

/** Ends all faults: clean paths, no blocks, no pauses, clocks right and steady. */
export function healAll(hub: NativeLoopHub, ports: Ports): void {
  const all = [...ports.replicas, ...ports.clients];
  hub.setDefaultPath(cleanPath);
  for (const from of all) {
    hub.pause(from, 0);
    hub.setClock(from, 0, 0);
    for (const to of all) {
      hub.setPath(from, to, cleanPath);
      hub.setBlocked(from, to, false);
    }
  }
}
