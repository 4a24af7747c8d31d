/** One seed in a piscina worker. */
import { setImmediate } from "node:timers/promises";
import { loadBinding } from "../data/load.js";
import { type SimulationOptions, type SimulationResult, simulate } from "./simulation.js";

export type SimulationTask = Omit<SimulationOptions, "binding" | "trace"> & { bindingPath: string };

export default async function runSeed({ bindingPath, ...options }: SimulationTask): Promise<SimulationResult> {
  const result = simulate({ ...options, binding: loadBinding(bindingPath) });
  // What a run held natively is freed from the event loop only.
  await setImmediate();
  return result;
}
