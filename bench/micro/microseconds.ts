import { randomBytes } from "node:crypto";
import Benchmark from "benchmark";
import { type MergeLog, type MergeRow, merge, mergeRules } from "../../dist/control/merge.js";
import { decodePosition, decodeReconcile, encodePosition, encodeReconcile, RowBytes } from "../../dist/control/messages.js";
import { Mode } from "../../dist/data/binding.js";
import { round } from "../statistics.js";
import { LoopGroup } from "./loop-group.js";

const entries = 1000;

/** Three logs of 1,000 entries; the second and third differ from the first in the order of the last `differing` ones. */
function divergedLogs(differing: number): MergeLog<MergeRow>[] {
  const names = Array.from({ length: entries }, (_, index) => `operation ${index}`);
  return [0, 1, 2].map((replica) => {
    const tail = names.slice(entries - differing);
    if (replica > 0) tail.push(...tail.splice(0, replica));
    const operations = [...names.slice(0, entries - differing), ...tail];
    let chain = "";
    const rows = operations.map((operation, index) => {
      if (index >= entries - differing) chain = `${replica} ${operation}`;
      return { key: `${index} ${chain}`, operation };
    });
    return { replica, lastNormalView: 3, mode: Mode.Speculative, committed: 0, accepted: 0, rows };
  });
}

/** What takes microseconds and more. Each `run` does `per` of what is named. */
function cases(): { name: string; what: string; per: number; prepare(): { run(): void; close?(): void } }[] {
  const rules = mergeRules(3);
  const mergeOf = (differing: number) => () => {
    const logs = divergedLogs(differing);
    return { run: () => void merge(0, logs, rules) };
  };
  const invoke = (outstanding: number) => () => {
    const group = new LoopGroup(24 << 20);
    return { run: () => group.invoke(outstanding), close: () => group.close() };
  };
  const hash = randomBytes(32);
  const position = encodePosition({ view: 7, seqno: 123_456, hash });
  const rows = randomBytes(100 * RowBytes);
  const reconcile = {
    view: 7,
    lastNormalView: 6,
    mode: 0,
    incarnation: 0,
    committed: 100,
    committedHash: hash,
    accepted: 100,
    end: 200,
    base: 0,
    vector: [0, 0, 0],
    rows,
  };
  return [
    { name: "merge", what: "merge of three equal logs, 1,000 entries", per: 1, prepare: mergeOf(0) },
    { name: "merge", what: "merge, the last 100 of 1,000 in other orders", per: 1, prepare: mergeOf(100) },
    {
      name: "control",
      what: "SYNC-REPLY: encode",
      per: 1,
      prepare: () => ({ run: () => void encodePosition({ view: 7, seqno: 123_456, hash }) }),
    },
    { name: "control", what: "SYNC-REPLY: decode", per: 1, prepare: () => ({ run: () => void decodePosition(position) }) },
    {
      name: "control",
      what: "RECONCILE with 100 rows: encode and decode",
      per: 1,
      prepare: () => ({ run: () => void decodeReconcile(encodeReconcile(reconcile)) }),
    },
    { name: "invoke", what: "operation through a group in one process, alone", per: 1, prepare: invoke(1) },
    { name: "invoke", what: "the same, 64 outstanding, each", per: 64, prepare: invoke(64) },
  ];
}

export function microsecondBenches(names: readonly string[]): void {
  console.log("\nmicroseconds and more                                          us each   +-%");
  for (const { name, what, per, prepare } of cases()) {
    if (names.length > 0 && !names.includes(name)) continue;
    const subject = prepare();
    new Benchmark(what, () => subject.run(), {
      maxTime: 1,
      onError: (event: { target: { error?: Error } }) => {
        throw event.target.error;
      },
      onComplete: (event: Benchmark.Event) => {
        const stats = (event.target as unknown as Benchmark).stats;
        const us = round((stats.mean * 1e6) / per, 2);
        console.log(`  ${name.padEnd(8)} ${what.padEnd(50)} ${String(us).padStart(8)} ${String(round(stats.rme)).padStart(5)}`);
      },
    }).run();
    subject.close?.();
  }
}
