import { describe, expect, it } from "vitest";
import { defineMachine, makeMachine } from "../../src/define-machine.js";
import type { Machine } from "../../src/machine.js";

const good = { speculativelyExecute: () => undefined, rollback: () => {} };
const refused = (machine: unknown) => {
  try {
    makeMachine(machine, "test");
  } catch (error) {
    return error as { code: string; message: string };
  }
  throw new Error("expected a refusal");
};

describe("defineMachine", () => {
  it("takes a machine, frozen ones too, and a factory", () => {
    expect(defineMachine(good)).toBe(good);
    const frozen = Object.freeze({ ...good });
    expect(defineMachine(frozen)).toBe(frozen);
    const factory = () => ({ ...good });
    expect(defineMachine(factory)).toBe(factory);
    expect(makeMachine(factory, "test").rollback).toBe(good.rollback);
  });

  it("takes an instance of a class", () => {
    class Register implements Machine {
      speculativelyExecute() {
        return undefined;
      }
      rollback() {}
    }
    expect(makeMachine(new Register(), "test")).toBeInstanceOf(Register);
  });

  it("names what is missing, misspelt or wrong", () => {
    expect(refused({ rollback() {} }).message).toMatch(/has no speculativelyExecute/);
    expect(refused({ speculativelyExecut() {}, rollback() {} }).message).toMatch(/it has speculativelyExecut\. Is it misspelt/);
    expect(refused({ ...good, Commit() {} }).message).toMatch(/no commit; it has Commit/);
    expect(refused({ ...good, commit: 5 }).message).toMatch(/commit must be a function; it is 5/);
    expect(refused({ ...good, async speculativelyExecute() {} }).message).toMatch(/async/);
    expect(refused({ ...good, copy: "yes" }).message).toMatch(/copy/);
    expect(refused(Promise.resolve(good)).message).toMatch(/promise/);
    expect(refused(async () => good).message).toMatch(/promise/);
    expect(refused(null).code).toBe("MACHINE_INVALID");
    expect(
      refused(() => {
        throw new Error("no state");
      }).message,
    ).toMatch(/no state/);
  });
});
