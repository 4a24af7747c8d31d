/** One seed in a piscina worker. */
import { loadBinding } from "../data/load.js";
import { type SimulationOptions, type SimulationResult, simulate } from "./simulation.js";

export type SimulationTask = Omit<SimulationOptions, "binding" | "trace"> & { bindingPath: string };

export default function runSeed({ bindingPath, ...options }: SimulationTask): SimulationResult {
  return simulate({ ...options, binding: loadBinding(bindingPath) });
}
