/** Loads a machine module several times over, so that instances share nothing. */
import { statSync } from "node:fs";
import path from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { noDefaultExport } from "../data/load-machine.js";
import { makeMachine, requiredUpcalls } from "../define-machine.js";
import { SquallError } from "../errors.js";
import type { Machine } from "../machine.js";
import type { SampleOperation } from "./operations.js";

export interface LoadedMachine {
  /** The machine of the index-th instance. */
  instantiate(index: number): Promise<Machine>;
  sampleOperation: SampleOperation | undefined;
}

/** Rejects with MACHINE_LOAD_FAILED or MACHINE_INVALID. */
export async function loadMachineModule(machine: string | URL | (() => Machine)): Promise<LoadedMachine> {
  if (typeof machine === "function")
    return { instantiate: async () => checkedMachine(machine(), "the factory"), sampleOperation: undefined };
  const file = path.resolve(machine instanceof URL ? fileURLToPath(machine) : machine);
  if (statSync(file, { throwIfNoEntry: false })?.isFile() !== true) {
    throw new SquallError(
      "MACHINE_LOAD_FAILED",
      `The machine module ${file} does not exist. Pass the path of a compiled JavaScript module.`,
    );
  }
  const first = await importCopy(file, 0);
  const sample = first.sampleOperation;
  return {
    async instantiate(index) {
      const module = index === 0 ? first : await importCopy(file, index);
      const exported: unknown = module.default;
      if (exported === undefined) throw new SquallError("MACHINE_INVALID", noDefaultExport(file));
      return checkedMachine(typeof exported === "function" ? callFactory(exported as () => unknown, file) : exported, file);
    },
    sampleOperation: typeof sample === "function" ? (sample as SampleOperation) : undefined,
  };
}

/** A query makes another module instance of the same file. */
async function importCopy(file: string, index: number): Promise<Record<string, unknown>> {
  const url = pathToFileURL(file);
  url.searchParams.set("instance", String(index));
  try {
    return (await import(url.href)) as Record<string, unknown>;
  } catch (cause) {
    throw new SquallError(
      "MACHINE_LOAD_FAILED",
      `The machine module ${file} can't be loaded: ${cause instanceof Error ? cause.message : String(cause)}`,
      { cause },
    );
  }
}

function callFactory(factory: () => unknown, file: string): unknown {
  try {
    return factory();
  } catch (cause) {
    throw new SquallError(
      "MACHINE_LOAD_FAILED",
      `The machine factory of ${file} threw: ${cause instanceof Error ? cause.message : String(cause)}`,
      { cause },
    );
  }
}

/** Says what is missing as createReplica does; what is there and wrong, such as an async upcall, becomes a finding of the check. */
function checkedMachine(value: unknown, where: string): Machine {
  const machine = value as Partial<Machine> | null | undefined;
  const whole = typeof machine === "object" && machine !== null && requiredUpcalls.every((upcall) => typeof machine[upcall] === "function");
  return whole ? (machine as Machine) : makeMachine(value, where);
}
