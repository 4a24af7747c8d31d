/** Checks of option objects, shared by every entry of the API. */
import { distance } from "fastest-levenshtein";
import { SquallError } from "./errors.js";

/** The allowed name that `name` most resembles, if any does. */
export function nearestName(name: string, allowed: readonly string[]): string | undefined {
  let best: string | undefined;
  let bestDistance = Number.POSITIVE_INFINITY;
  for (const candidate of allowed) {
    const away = distance(name.toLowerCase(), candidate.toLowerCase());
    if (away < bestDistance) [best, bestDistance] = [candidate, away];
  }
  const tolerated = Math.max(2, Math.ceil(name.length / 3));
  return bestDistance <= tolerated ? best : undefined;
}

/** "Did you mean X?" where a name is near, else the list of what is allowed. */
export function suggestName(name: string, allowed: readonly string[]): string {
  const nearest = nearestName(name, allowed);
  return nearest === undefined ? `Allowed: ${allowed.join(", ")}.` : `Did you mean "${nearest}"?`;
}

/**
 * Throws INVALID_OPTION when `given` is not an object, UNKNOWN_OPTION when it has a key that is not in `allowed`; the message
 * names the function (`name`), the key and the nearest right one.
 */
export function checkOptions(name: string, given: unknown, allowed: readonly string[]): void {
  if (typeof given !== "object" || given === null || Array.isArray(given)) {
    throw new SquallError("INVALID_OPTION", `${name} takes an object of options; it got ${describeValue(given)}.`);
  }
  for (const key of Object.keys(given)) {
    if (!allowed.includes(key)) {
      throw new SquallError("UNKNOWN_OPTION", `${name} has no option "${key}". ${suggestName(key, allowed)}`);
    }
  }
}

/** Throws INVALID_OPTION unless `value` is a whole number in [min, max]. */
export function checkInteger(name: string, value: unknown, min: number, max: number): number {
  if (typeof value !== "number" || !Number.isInteger(value) || value < min || value > max) {
    throw new SquallError("INVALID_OPTION", `${name} must be a whole number from ${min} to ${max}; it is ${describeValue(value)}.`);
  }
  return value;
}

/** A value as it reads in an error message: short, whatever it is. */
export function describeValue(value: unknown): string {
  if (typeof value === "string") return value.length > 40 ? `"${value.slice(0, 40)}..."` : `"${value}"`;
  if (Array.isArray(value)) return "an array";
  if (typeof value === "object" && value !== null) return "an object";
  if (typeof value === "function") return "a function";
  return String(value);
}

/** Throws INVALID_OPTION unless `value` is an AbortSignal, of whichever realm, or undefined. */
export function checkSignal(value: unknown): AbortSignal | undefined {
  if (value === undefined) return undefined;
  const { aborted, addEventListener } = (value ?? {}) as Partial<AbortSignal>;
  if (typeof aborted === "boolean" && typeof addEventListener === "function") return value as AbortSignal;
  throw new SquallError("INVALID_OPTION", `signal must be an AbortSignal; it is ${describeValue(value)}.`);
}

/** Throws INVALID_OPTION unless `value` is `{ ip, port }` with a port of at least `leastPort`; whether the ip is one shows later. */
export function checkAddress(name: string, value: unknown, leastPort: 0 | 1 = 1): { ip: string; port: number } {
  const { ip, port } = (typeof value === "object" && value !== null ? value : {}) as { ip?: unknown; port?: unknown };
  if (typeof ip !== "string" || ip === "") {
    throw new SquallError("INVALID_OPTION", `${name} must be an address { ip, port }; it is ${describeValue(value)}.`);
  }
  return { ip, port: checkInteger(`${name}.port`, port, leastPort, 65_535) };
}

/** Throws INVALID_OPTION unless `value` is a function. */
export function checkFunction(name: string, value: unknown): void {
  if (typeof value !== "function") throw new SquallError("INVALID_OPTION", `${name} must be a function; it is ${describeValue(value)}.`);
}
