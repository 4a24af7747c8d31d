/** Checks that something is a state machine, and says what is missing or misspelt when it isn't. */
import { distance } from "fastest-levenshtein";
import { SquallError } from "./errors.js";
import type { Machine, MachineFactory } from "./machine.js";
import { describeValue, nearestName } from "./options.js";

const brand = Symbol.for("squall.machine");
export const requiredUpcalls = ["speculativelyExecute", "rollback"] as const;
const optionalUpcalls = ["query", "commit", "digest", "snapshot", "restore"] as const;
const memberNames = [...requiredUpcalls, ...optionalUpcalls, "copy"];

/**
 * Marks an object as a state machine after checking its shape; the usual default export of a machine module. A factory
 * (a function that returns a machine) is passed through: each replica calls it once and its result is checked then.
 * Throws MACHINE_INVALID naming the upcall that is missing, misspelt or no function.
 */
export function defineMachine<M extends Machine>(machine: M): M;
export function defineMachine(factory: MachineFactory): MachineFactory;
export function defineMachine(given: Machine | MachineFactory): Machine | MachineFactory {
  if (typeof given === "function") return given;
  return checkMachine(given);
}

/** The machine that `given` is or makes, checked. `where` names its origin in messages. */
export function makeMachine(given: unknown, where: string): Machine {
  let machine = given;
  if (typeof given === "function") {
    try {
      machine = (given as () => unknown)();
    } catch (cause) {
      throw new SquallError(
        "MACHINE_INVALID",
        `The machine factory of ${where} threw: ${cause instanceof Error ? cause.message : String(cause)}.`,
        { cause },
      );
    }
  }
  return checkMachine(machine, where);
}

function checkMachine<M extends Machine>(machine: M | unknown, where = "defineMachine"): M {
  if (typeof machine !== "object" || machine === null) {
    throw new SquallError(
      "MACHINE_INVALID",
      `${where}: a machine is an object with speculativelyExecute and rollback, or a function that returns one; this is ${describeValue(machine)}.`,
    );
  }
  const members = machine as Record<PropertyKey, unknown>;
  if (typeof members.then === "function") {
    throw new SquallError(
      "MACHINE_INVALID",
      `${where}: the machine is a promise; a factory must be synchronous (a module may await at its top level).`,
    );
  }
  if (members[brand] === true) return machine as M;
  const present = memberNamesOf(machine);
  for (const name of requiredUpcalls) checkUpcall(members, name, present, true, where);
  for (const name of optionalUpcalls) checkUpcall(members, name, present, false, where);
  if (members.copy !== undefined && typeof members.copy !== "boolean") {
    throw new SquallError("MACHINE_INVALID", `${where}: the machine's copy must be true or false; it is ${describeValue(members.copy)}.`);
  }
  if (Object.isExtensible(machine)) Object.defineProperty(machine, brand, { value: true });
  return machine as M;
}

function checkUpcall(
  members: Record<PropertyKey, unknown>,
  name: string,
  present: readonly string[],
  required: boolean,
  where: string,
): void {
  const upcall = members[name];
  if (typeof upcall === "function") {
    if (upcall.constructor.name === "AsyncFunction") {
      throw new SquallError("MACHINE_INVALID", `${where}: the machine's ${name} is an async function; upcalls must be synchronous.`);
    }
    return;
  }
  if (upcall !== undefined) {
    throw new SquallError("MACHINE_INVALID", `${where}: the machine's ${name} must be a function; it is ${describeValue(upcall)}.`);
  }
  const similar = present.find((other) => !memberNames.includes(other) && nearestName(other, [name]) === name);
  if (similar !== undefined && (required || similar.toLowerCase() === name)) {
    throw new SquallError("MACHINE_INVALID", `${where}: the machine has no ${name}; it has ${similar}. Is it misspelt?`);
  }
  if (required) {
    throw new SquallError(
      "MACHINE_INVALID",
      `${where}: the machine has no ${name}. A machine needs ${requiredUpcalls.join(" and ")}; ${optionalUpcalls.join(", ")} are optional.`,
    );
  }
}

/** Functions of a machine that are no upcalls and are called nearly as one that it lacks: each with that upcall's name. */
export function nearlyUpcalls(machine: Machine): [name: string, upcall: string][] {
  const members = machine as unknown as Record<string, unknown>;
  return memberNamesOf(machine).flatMap((name): [string, string][] => {
    if (memberNames.includes(name) || typeof members[name] !== "function") return [];
    const near = optionalUpcalls.find(
      (upcall) => members[upcall] === undefined && distance(name.toLowerCase(), upcall) <= (name.length < 7 ? 1 : 2),
    );
    return near === undefined ? [] : [[name, near]];
  });
}

/** Names of the functions of an object and of its classes. */
function memberNamesOf(machine: object): string[] {
  const names: string[] = [];
  for (let at: object | null = machine; at !== null && at !== Object.prototype; at = Object.getPrototypeOf(at) as object | null) {
    names.push(...Object.getOwnPropertyNames(at));
  }
  return names;
}
