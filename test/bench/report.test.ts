import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { experimentNames, type RecordFile } from "../../bench/paper/record.js";
import { escapeText, html } from "../../bench/paper/report/html.js";
import { spread } from "../../bench/paper/report/labels.js";
import { reportOf, writeReport } from "../../bench/paper/report/report.js";
import { scaleOf } from "../../bench/paper/report/scales.js";
import { verdictsOf } from "../../bench/paper/report/verdicts.js";
import { linesOf, madeUpResult } from "../fixtures/paper-result.js";

const folder = mkdtempSync(path.join(tmpdir(), "squall-report-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** What of the text matches: a page is too long to be printed whole when it does. */
const found = (text: string, pattern: RegExp) => pattern.exec(text)?.[0];
const broken = /NaN|undefined|Infinity|\[object/;

describe("the report", () => {
  it("of a whole result lacks nothing", async () => {
    const text = await reportOf(madeUpResult({ rounds: 1 }), "a.jsonl");
    expect(found(text, /Not measured/)).toBeUndefined();
    expect(found(text, broken)).toBeUndefined();
    expect(found(text, /\d of 8 ratios measured are as wanted/)).toBeDefined();
  });

  it("says of each experiment that did not run that it is missing, and draws nothing for it", async () => {
    const none = await reportOf({ ...madeUpResult({ experiments: [] }), summary: undefined }, "a.jsonl");
    for (const experiment of experimentNames)
      expect(found(none, new RegExp(`no run of the experiment <code>${experiment}</code>`)), experiment).toBeDefined();
    expect(found(none, /<svg/)).toBeUndefined();
  });

  it("bears runs without values, of protocols that nobody knows", async () => {
    const record = madeUpResult({ rounds: 1 });
    for (const run of record.runs) Object.assign(run, { values: {}, processes: [], histogram: "nonsense" });
    const strange = { ...record.runs[0]!, key: { protocol: "constructor" as "paxos", clients: 2, packing: true } };
    const text = await reportOf({ ...record, runs: [...record.runs, strange], summary: undefined }, "a.jsonl");
    expect(found(text, broken)).toBeUndefined();
  });

  it("warns of digests that differ, of failures, and of what is not complete", async () => {
    const record = madeUpResult({ rounds: 1, experiments: ["latency"] });
    record.runs[0]!.digestsAgree = false;
    record.runs[1]!.values.failed = 3;
    record.header.runs += 5;
    const text = await reportOf(record, "a.jsonl");
    expect(text.includes("The replicas of 1 runs ended with different digests.")).toBe(true);
    expect(text.includes("3 operations failed.")).toBe(true);
    expect(text.includes("7 of 12 runs")).toBe(true);
  });

  it("escapes whatever stands in a result", async () => {
    const evil = `"><script>alert(1)</script><img src=x onerror='alert(2)'>`;
    const record = madeUpResult({ rounds: 1 });
    for (const run of record.runs) {
      run.key.protocol = evil as "paxos";
      for (const process of run.processes) process.role = evil;
    }
    Object.assign(record.header, { squall: evil, startedAt: evil, seed: evil, length: evil, plan: [evil] });
    for (const name of Object.keys(record.header.machine)) Object.assign(record.header.machine, { [name]: evil });
    const text = await reportOf(record, evil);
    expect(found(text, /<script|<img|="">/)).toBeUndefined();
    expect(found(text, /&#60;script&#62;/)).toBeDefined();
  });

  it("is written from a file, whole or cut off, and refuses what is no result", async () => {
    const [file, page] = ["result.jsonl", "sub/result.html"].map((name) => path.join(folder, name)) as [string, string];
    writeFileSync(file, linesOf(madeUpResult({ rounds: 1, experiments: ["latency"] })).slice(0, -30));
    await writeReport(file, page);
    expect(readFileSync(page, "utf8").includes("the suite did not come to its end")).toBe(true);
    writeFileSync(file, "{}\n");
    await expect(writeReport(file, page)).rejects.toThrow("not a result");
  });
});

describe("verdicts", () => {
  const verdict = (record: RecordFile, what: string) => verdictsOf(record).find((one) => one.what.includes(what))!;

  it("take the limit itself as met, and what lies beyond as not", () => {
    const record = madeUpResult({ rounds: 3, experiments: ["latency"] });
    Object.assign(record.summary!, { latencyVsPaxos: 0.65, latencyVsFastPaxos: 0.851, capacityVsPaxos: 2.6, capacityVsBatching: 0.99 });
    expect(verdict(record, "Speculative Paxos / Paxos").met).toBe(true);
    expect(verdict(record, "Speculative Paxos / Fast Paxos").met).toBe(false);
    expect(verdict(record, "packing off: Speculative Paxos / Paxos").met).toBe(true);
    expect(verdict(record, "packing off: Speculative Paxos / batching").met).toBe(false);
    expect(verdict({ ...record, runs: [], summary: undefined }, "Speculative Paxos / Paxos").met).toBeUndefined();
  });

  it("have an interval from the ratios of each round, and none from too few", () => {
    const record = madeUpResult({ rounds: 7, noise: 0.01, experiments: ["latency", "figure8"] });
    for (const { what, interval, measured } of verdictsOf(record)) {
      expect(interval!.low, what).toBeLessThan(measured!);
      expect(interval!.high, what).toBeGreaterThan(measured!);
    }
    expect(verdict(record, "Speculative Paxos / Paxos").interval!.ratio).toBeCloseTo(91 / 148, 1);
    expect(verdictsOf(madeUpResult({ rounds: 2 })).map(({ interval }) => interval)).toEqual(Array(8).fill(undefined));
  });

  it("of a result that is not complete are of the runs that there are", () => {
    const record = { ...madeUpResult({ rounds: 3, experiments: ["latency"] }), summary: undefined };
    expect(verdict(record, "Speculative Paxos / Paxos").measured).toBeCloseTo(91 / 148, 1);
    expect(verdict(record, "packing off: Speculative Paxos / Paxos").measured).toBeUndefined();
  });
});

describe("parts of the report", () => {
  it("escape in text and in attributes", () => {
    expect(escapeText(`<a href="x" title='y'>&`)).toBe("&#60;a href=&#34;x&#34; title=&#39;y&#39;&#62;&#38;");
    expect(html`<p>${"<"}${html`<b>${1}</b>`}${[html`<i></i>`, "&"]}${undefined}${false}</p>`.text).toBe(
      "<p>&#60;<b>1</b><i></i>&#38;</p>",
    );
  });

  it("scale to all values, on ticks that can be read", () => {
    expect(scaleOf("log", [13, 470])).toEqual({ type: "log", domain: [10, 500], ticks: [10, 20, 50, 100, 200, 500] });
    expect(scaleOf("log", [13, 47_000]).ticks).toEqual([10, 100, 1000, 10_000]);
    expect(scaleOf("log", [5, 5]).domain).toEqual([5, 10]);
    expect(scaleOf("linear", [3, 87]).domain).toEqual([0, 100]);
    expect(scaleOf("linear", [0, 0]).domain).toEqual([0, 1]);
  });

  it("spread labels that would cover each other, within the plot", () => {
    const at = (x: number, y: number) => ({ text: "Paxos", color: "", x, y });
    const together = spread([at(0, 95), at(0, 96), at(0, 99)], 100).map(({ y }) => y);
    expect(together).toEqual([72, 86, 100]);
    expect(spread([at(0, 10), at(200, 11)], 100).map(({ y }) => y)).toEqual([10, 11]);
  });
});
