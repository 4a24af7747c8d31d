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
