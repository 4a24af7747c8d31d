import { describe, expect, it } from "vitest";
import { ReplicaRow, ResultStatus, RowKind } from "../../src/data/binding.js";
import { type MachineFailure, MachineHost } from "../../src/data/machine-host.js";
import { RowContext } from "../../src/data/operation-context.js";
import type { Machine } from "../../src/machine.js";

function hostOf(machine: Partial<Machine>, options: { debug?: boolean; maxResultBytes?: number } = {}) {
  const failures: MachineFailure[] = [];
  const host = new MachineHost({
    machine: { speculativelyExecute: () => undefined, rollback: () => {}, ...machine },
    rows: 16,
    arenaBytes: 128 * 1024,
    maxResultBytes: options.maxResultBytes ?? 4096,
    ...(options.debug === undefined ? {} : { debug: options.debug }),
    onFailure: (failure) => failures.push(failure),
  });
  return { host, failures };
}

/** Writes operations as the native side does. */
function offer(host: MachineHost, firstSeqno: number, operations: Uint8Array[]): number {
  let offset = 0;
  operations.forEach((operation, index) => {
    host.arena.set(operation, offset);
    const base = index * ReplicaRow.Stride;
    host.rows.set([firstSeqno + index, 0, offset, operation.length, 5_000 + index, 0, 99, 99], base);
    offset += operation.length;
  });
  return host.execute(operations.length);
}

const status = (host: MachineHost, row: number) => host.rows[row * ReplicaRow.Stride + ReplicaRow.Status];
const length = (host: MachineHost, row: number) => host.rows[row * ReplicaRow.Stride + ReplicaRow.ResultLength] as number;

describe("machine host", () => {
  it("hands out each operation and takes its result", () => {
    const seen: string[] = [];
    const { host } = hostOf({
      speculativelyExecute(seqno, operation) {
        seen.push(`${seqno}:${operation.toString()}`);
        return operation;
      },
    });
    const operations = ["a", "", "long ".repeat(4000), "b"].map((text) => Buffer.from(text));
    const { host: big } = hostOf({ speculativelyExecute: (_seqno, operation) => operation }, { maxResultBytes: 32 * 1024 });
    expect(offer(host, 7, [operations[0]!, operations[1]!, operations[3]!])).toBe(3);
    expect(seen).toEqual(["7:a", "8:", "9:b"]);
    expect(Buffer.from(host.results.subarray(0, 2)).toString()).toBe("ab");
    expect(offer(big, 1, operations)).toBe(4);
    expect(Buffer.from(big.results.subarray(0, 20_002)).toString()).toBe(operations.join(""));
  });

  it("uses one view per length, copies where asked, poisons in debug mode", () => {
    const kept: Buffer[] = [];
    const keep = (_seqno: number, operation: Buffer) => void kept.push(operation);
    const shared = hostOf({ speculativelyExecute: keep });
    offer(shared.host, 1, [Buffer.from("aaaa"), Buffer.from("bbbb")]);
    expect(kept[0]).toBe(kept[1]);
    kept.length = 0;
    offer(hostOf({ speculativelyExecute: keep, copy: true }, { debug: true }).host, 1, [Buffer.from("aaaa"), Buffer.from("bbbb")]);
    expect(kept.map(String)).toEqual(["aaaa", "bbbb"]);
    kept.length = 0;
    offer(hostOf({ speculativelyExecute: keep }, { debug: true }).host, 1, [Buffer.from("aaaa")]);
    expect(kept[0]).toEqual(Buffer.alloc(4, 0xdb));
  });

  it.each([
    ["null", null, "threw null"],
    ["an error", new RangeError("no"), "RangeError: no"],
    ["undefined", undefined, "threw undefined"],
    ["an object without prototype", Object.create(null), "threw a value that can't be shown"],
    ["a long message", new Error("é".repeat(2000)), "Error: é"],
  ])("stops at the operation that throws %s", (_name, thrown, text) => {
    const { host, failures } = hostOf({
      speculativelyExecute(seqno) {
        if (seqno === 2) throw thrown;
        return Buffer.from("ok");
      },
    });
    expect(offer(host, 1, [Buffer.from("x"), Buffer.from("y"), Buffer.from("z")])).toBe(2);
    expect(status(host, 1)).toBe(ResultStatus.MachineThrew);
    expect(length(host, 1)).toBeLessThanOrEqual(1024);
    expect(Buffer.from(host.results.subarray(2, 2 + length(host, 1))).toString()).toContain(text);
    expect(failures).toHaveLength(1);
    expect(failures[0]).toMatchObject({ upcall: "speculativelyExecute", seqno: 2, code: "MACHINE_THREW" });
    expect(offer(host, 3, [Buffer.from("z")])).toBe(0);
    expect(host.hasThrown(2)).toBe(true);
    host.resume();
    expect(offer(host, 3, [Buffer.from("z")])).toBe(1);
  });

  it("names promises and results that are no bytes", async () => {
    for (const [result, code] of [
      [Promise.reject(new Error("late")), "MACHINE_RETURNED_PROMISE"],
      // biome-ignore lint/suspicious/noThenProperty: a thenable is what is refused
      [{ then() {} }, "MACHINE_RETURNED_PROMISE"],
      [null, "MACHINE_RETURNED_INVALID"],
      ["text", "MACHINE_RETURNED_INVALID"],
      [new Uint16Array(2), "MACHINE_RETURNED_INVALID"],
    ] as const) {
      const { host, failures } = hostOf({ speculativelyExecute: () => result as never });
      expect(offer(host, 1, [Buffer.from("x")])).toBe(1);
      expect(status(host, 0)).toBe(ResultStatus.MachineThrew);
      expect(failures[0]?.code).toBe(code);
      expect(host.hasThrown(1)).toBe(false);
    }
  });

  it("refuses a result above the limit and goes on", () => {
    const { host, failures } = hostOf({ speculativelyExecute: (seqno) => Buffer.alloc(seqno === 1 ? 4097 : 4096) });
    expect(offer(host, 1, [Buffer.from("x"), Buffer.from("y")])).toBe(2);
    expect([status(host, 0), length(host, 0)]).toEqual([ResultStatus.RanOverSize, 0]);
    expect([status(host, 1), length(host, 1)]).toEqual([ResultStatus.Ok, 4096]);
    expect(failures).toEqual([]);
  });

  it("forgets a failure that is rolled back, but not a rollback that fails", () => {
    const { host } = hostOf({
      speculativelyExecute() {
        throw new Error("no");
      },
    });
    offer(host, 5, [Buffer.from("x")]);
    host.rollback(5, 4, [], []);
    expect(host.failure).toBeUndefined();
    const broken = hostOf({
      rollback() {
        throw new Error("can't");
      },
    });
    broken.host.rollback(5, 3, [Buffer.from("x")], [4]);
    expect(broken.host.broken).toBe(true);
    broken.host.resume();
    expect(offer(broken.host, 4, [Buffer.from("x")])).toBe(0);
  });

  it("runs queries between operations, which fail alone", () => {
    let state = 0;
    const { host, failures } = hostOf({
      speculativelyExecute: () => Buffer.from([++state]),
      query(operation) {
        if (operation.toString() === "throw") throw new RangeError("no");
        return operation.length === 0 ? undefined : Buffer.from([state + 100]);
      },
    });
    const offerQueries = (texts: string[], first: number) => {
      offer(host, 1, texts.map(Buffer.from));
      state = first;
      texts.forEach((text, row) => {
        if (text !== "op") host.rows[row * ReplicaRow.Stride + ReplicaRow.Status] = RowKind.Query;
        else host.rows[row * ReplicaRow.Stride + ReplicaRow.Status] = RowKind.Execute;
      });
    };
    offerQueries(["?", "op", "throw", "?", ""], 0);
    expect(host.execute(5)).toBe(5);
    expect([0, 1, 2, 3, 4].map((row) => status(host, row))).toEqual([0, 0, ResultStatus.MachineThrew, 0, 0]);
    const text = "RangeError: no";
    expect([0, 1, 2, 3, 4].map((row) => length(host, row))).toEqual([1, 1, text.length, 1, 0]);
    expect(Buffer.from(host.results.subarray(0, 3 + text.length)).toString("latin1")).toBe(`\x64\x01${text}\x65`);
    offerQueries(["?", "throw", ""], 7);
    expect(host.query(3)).toBe(3);
    expect(host.results[0]).toBe(107);
    expect([0, 1, 2].map((row) => status(host, row))).toEqual([0, ResultStatus.MachineThrew, 0]);
    expect(failures).toEqual([]);
    const { host: without } = hostOf({});
    offer(without, 1, [Buffer.from("x")]);
    expect(without.query(1)).toBe(1);
    expect([status(without, 0), length(without, 0)]).toEqual([ResultStatus.QueryUnsupported, 0]);
  });

  it("notices a query that changes the state, in debug mode", () => {
    let state = 0;
    const machine = { query: () => void state++, snapshot: () => Buffer.from([state]) };
    const careless = hostOf(machine);
    offer(careless.host, 1, [Buffer.from("x")]);
    expect(careless.host.query(1)).toBe(1);
    expect(careless.failures).toEqual([]);
    const { host, failures } = hostOf(machine, { debug: true });
    offer(host, 1, [Buffer.from("x"), Buffer.from("y")]);
    expect(host.query(2)).toBe(1);
    expect(failures).toMatchObject([{ upcall: "query", text: expect.stringContaining("changed the machine's state") }]);
    expect(host.broken).toBe(true);
    expect(host.query(1)).toBe(0);
  });

  it("tells commits in rising order, once each", () => {
    const commits: number[] = [];
    const { host } = hostOf({ commit: (seqno) => void commits.push(seqno) });
    for (const seqno of [1, 1, 4, 3, 9]) host.commit(seqno);
    expect(commits).toEqual([1, 4, 9]);
  });
});

describe("operation context", () => {
  it("gives every replica the same clock and random numbers", () => {
    const rows = new Uint32Array(2 * ReplicaRow.Stride);
    rows.set([1, 0, 0, 0, 0x89abcdef, 0x00061234, 0, 0], 0);
    rows.set([2, 0, 0, 0, 0x89abcdef, 0x00061234, 0, 0], ReplicaRow.Stride);
    const draw = (base: number) => {
      const context = new RowContext(rows);
      context.enter(base);
      return [context.timeMs, ...Array.from({ length: 100 }, () => context.random())];
    };
    expect(draw(0)).toEqual(draw(0));
    expect(draw(0)[1]).not.toBe(draw(ReplicaRow.Stride)[1]);
    expect(draw(0)[0]).toBe(Math.floor((0x00061234 * 2 ** 32 + 0x89abcdef) / 1000));
    const numbers = draw(0).slice(1);
    expect(numbers.every((x) => x >= 0 && x < 1)).toBe(true);
    expect(numbers.reduce((sum, x) => sum + x, 0) / 100).toBeGreaterThan(0.35);
  });
});
