import { describe, expect, it } from "vitest";
import { checkMachine } from "../../src/check.js";
import type { Machine } from "../../src/machine.js";
import counterMachine from "../../src/machines/counter.js";

const fixture = (name: string) => new URL(`./machines/${name}.mjs`, import.meta.url);

/** An accumulator with an undo list; tests break one thing of it at a time. */
function accumulator(broken: Partial<Machine> & { afterUndo?: (sum: number) => number } = {}): Machine {
  let sum = 0;
  const before: number[] = [];
  return {
    speculativelyExecute(_seqno, operation) {
      before.push(sum);
      for (const byte of operation) sum = (sum * 31 + byte) | 0;
      return Buffer.from([sum & 0xff]);
    },
    rollback(_from, _to, operations) {
      for (let i = 0; i < operations.length; i++) sum = before.pop()!;
      if (broken.afterUndo) sum = broken.afterUndo(sum);
    },
    snapshot: () => Buffer.from(String(sum)),
    restore(snapshot) {
      sum = Number(Buffer.from(snapshot).toString());
    },
    ...broken,
  };
}

const options = { seed: 7, operations: 500 };
const kinds = async (factory: () => Machine) => (await checkMachine(factory, options)).findings.map(({ kind }) => kind);

describe("squall check passes", () => {
  it("the counter", async () => {
    const report = await checkMachine(counterMachine, { seed: 1, operations: 5000 });
    expect(report).toMatchObject({ ok: true, operations: 5000, statesCompared: true, findings: [] });
    expect(report.rollbacks).toBeGreaterThan(100);
    expect(report.commits).toBeGreaterThan(100);
    expect(report.queries).toBeGreaterThan(100);
  });

  it("a module, with its own operations", async () => {
    expect(await checkMachine(fixture("good"), options)).toMatchObject({ ok: true, threw: 0 });
  });

  it("a machine that throws the same everywhere", async () => {
    const report = await checkMachine(() => {
      const machine = accumulator();
      return {
        ...machine,
        speculativelyExecute(seqno, operation, context) {
          if (operation.length === 0) throw new RangeError("empty");
          return machine.speculativelyExecute(seqno, operation, context);
        },
      };
    }, options);
    expect(report.ok).toBe(true);
    expect(report.threw).toBeGreaterThan(10);
  });

  it("a machine without checkpoints, or with an upcall that is nearly one, and says so", async () => {
    const { restore: _, ...noRestore } = accumulator();
    const notes = async (machine: object) => (await checkMachine(() => machine as Machine, { seed: 1, operations: 1 })).notes;
    expect(await notes(accumulator())).toEqual([]);
    expect(await notes(noRestore)).toEqual([expect.stringMatching(/no restore\(\): no checkpoints are taken/)]);
    expect(await notes({ ...accumulator(), comit() {} })).toEqual([expect.stringMatching(/comit\(\).*Is commit meant\?/)]);
  });

  it("a seed gives the same run", async () => {
    expect(await checkMachine(accumulator, options)).toEqual(await checkMachine(accumulator, options));
  });
});

describe("squall check finds", () => {
  it("results that differ", async () => {
    let instances = 0;
    expect(
      await kinds(() => {
        const own = instances++;
        return accumulator({ speculativelyExecute: () => Buffer.from([own]) });
      }),
    ).toContain("results-differ");
  });

  it("state kept in the module", async () => {
    const report = await checkMachine(fixture("random"), options);
    expect(report.findings.map(({ kind }) => kind)).toContain("own-randomness");
  });

  it("a rollback that does not undo", async () => {
    expect(await kinds(() => accumulator({ afterUndo: (sum) => sum + 1 }))).toContain("rollback-wrong");
    expect(await kinds(() => accumulator({ rollback() {} }))).toContain("rollback-wrong");
  });

  it("promises", async () => {
    const machine = accumulator();
    expect(await kinds(() => ({ ...machine, speculativelyExecute: (async () => undefined) as never }))).toContain("returned-promise");
    expect(await kinds(() => accumulator({ rollback: (async () => undefined) as never }))).toContain("returned-promise");
  });

  it("results that are no bytes", async () => {
    expect(await kinds(() => accumulator({ speculativelyExecute: (() => "text") as never }))).toContain("returned-invalid");
    expect(await kinds(() => accumulator({ speculativelyExecute: (() => null) as never }))).toContain("returned-invalid");
  });

  it("queries that change the state, differ or are no bytes", async () => {
    let own = 0;
    const counting = () => {
      let asked = 0;
      return accumulator({ query: () => void asked++, snapshot: () => Buffer.from(String(asked)) });
    };
    expect(await kinds(counting)).toContain("query-changed-state");
    expect(await kinds(() => accumulator({ query: () => Buffer.from([own++ & 0xff]) }))).toContain("results-differ");
    expect(await kinds(() => accumulator({ query: (() => "text") as never }))).toContain("returned-invalid");
    expect(await kinds(() => accumulator({ query: () => Buffer.from(String(Date.now())) }))).toContain("own-clock");
  });

  it("operations kept beyond the upcall", async () => {
    const keeper = (): Machine => {
      const kept: Buffer[] = [];
      return {
        speculativelyExecute(_seqno, operation) {
          kept.push(operation);
        },
        rollback(_from, _to, operations) {
          kept.length -= operations.length;
        },
        snapshot: () => Buffer.concat(kept),
      };
    };
    expect((await kinds(keeper)).length).toBeGreaterThan(0);
    expect(await kinds(() => ({ ...keeper(), copy: true }))).toEqual([]);
  });

  it("upcalls that throw, and operations that throw halfway", async () => {
    expect(
      await kinds(() =>
        accumulator({
          rollback() {
            throw new Error("no");
          },
        }),
      ),
    ).toContain("upcall-threw");
    expect(
      await kinds(() => {
        const machine = accumulator();
        return {
          ...machine,
          speculativelyExecute(seqno, operation, context) {
            machine.speculativelyExecute(seqno, operation, context);
            if (operation.length > 4) throw null;
            return undefined;
          },
        };
      }),
    ).toContain("threw-halfway");
  });

  it("a restore that loses something", async () => {
    expect(await kinds(() => accumulator({ restore() {} }))).toContain("restore-wrong");
  });
});

it("modules that are none are typed errors", async () => {
  await expect(checkMachine("no/such/file.js")).rejects.toMatchObject({ code: "MACHINE_LOAD_FAILED" });
  await expect(checkMachine(fixture("broken"))).rejects.toMatchObject({ code: "MACHINE_LOAD_FAILED" });
  await expect(checkMachine(fixture("none"))).rejects.toMatchObject({ code: "MACHINE_INVALID" });
  await expect(checkMachine(accumulator, { operation: 1 } as object)).rejects.toMatchObject({ code: "UNKNOWN_OPTION" });
});
