import { makeMachine } from "../define-machine.js";
import { SquallError } from "../errors.js";
import type { Machine } from "../machine.js";
import { errorText } from "./machine-host.js";

export function noDefaultExport(url: string): string {
  return `The machine module ${url} has no default export; it must export defineMachine({ ... }) or a factory as default.`;
}

/**
 * Imports a module whose default export is a machine or a factory. Rejects with MACHINE_LOAD_FAILED when it can't be
 * imported, MACHINE_INVALID when its default export is no machine.
 */
export async function loadMachine(url: string): Promise<Machine> {
  let module: { default?: unknown };
  try {
    module = (await import(url)) as { default?: unknown };
  } catch (cause) {
    throw new SquallError("MACHINE_LOAD_FAILED", `The machine module ${url} can't be loaded. ${errorText(cause)}`, { cause });
  }
  if (module.default === undefined) {
    throw new SquallError("MACHINE_INVALID", noDefaultExport(url));
  }
  return makeMachine(module.default, url);
}
