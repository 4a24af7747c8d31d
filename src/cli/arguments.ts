/** Options that commands share, and parsers of their values. */
import { type Command, InvalidArgumentError, Option } from "commander";

export function clusterOption(): Option {
  return new Option("-c, --cluster <file>", "the cluster file").default("cluster.json");
}

export function clientKeyOption(): Option {
  return new Option("--client-key <file>", "a client key made by `squall key issue`, where the secret is not at hand");
}

export function jsonOption(): Option {
  return new Option("--json", "print JSON").default(false);
}

/** Parses a whole number in [min, max]; anything else is a usage error. */
export function wholeNumber(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
    if (!(value >= min && value <= max)) throw new InvalidArgumentError(`A whole number from ${min} to ${max} is needed.`);
    return value;
  };
}

/** host:port, an IPv6 address in brackets. */
export function hostPort(text: string): { ip: string; port: number } {
  const match = /^(?:\[([^\]]+)\]|([^:]+)):(\d{1,5})$/.exec(text);
  const port = Number(match?.[3]);
  if (!match || !(port >= 1 && port <= 65_535)) throw new InvalidArgumentError(`An address is needed, host:port; it is "${text}".`);
  return { ip: (match[1] ?? match[2]) as string, port };
}

/** Parses each of several arguments. */
export function each<Value>(parse: (text: string) => Value): (text: string, before: Value[] | undefined) => Value[] {
  return (text, before = []) => [...before, parse(text)];
}

/** What each command file exports. */
export type Register = (program: Command) => void;
