import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { checkNames } from "../../src/doctor/checks.js";
import { clientMetrics, replicaMetrics } from "../../src/metrics/definitions.js";

const read = (file: string) => readFileSync(new URL(`../../${file}`, import.meta.url), "utf8");

describe("the documentation of operating", () => {
  it("lists every metric with its type and help, and no other", () => {
    const rows = [...read("docs/operating.md").matchAll(/^\| `(squall_[a-z_]+)` \| (counter|gauge) \| (?:`([a-z]+)`)? ?\| (.*) \|$/gm)];
    expect(rows.map(([, name, kind, label, help]) => ({ name, kind, label, help }))).toEqual(
      [...replicaMetrics, ...clientMetrics].map(({ name, kind, label, help }) => ({ name, kind, label, help })),
    );
  });

  it("lists every event, and no other", () => {
    const union = /export type ReplicaEvent =([\s\S]*?);\n\n/.exec(read("src/data/events.ts"))![1]!;
    const types = [...union.matchAll(/type: "([a-z-]+)"/g)].map(([, type]) => type);
    const table = /### Events([\s\S]*?)\nListeners run/.exec(read("docs/api.md"))![1]!;
    const documented = [...table.matchAll(/^\| (`[a-z-]+`(?:, `[a-z-]+`)*) \|/gm)].flatMap(([, names]) =>
      names!.split(", ").map((name) => name.slice(1, -1)),
    );
    expect(documented.filter((name) => name !== "type")).toEqual(types);
  });

  it("lists every check of the doctor, and no other", () => {
    const table = /### What the doctor checks([\s\S]*?)\nWarnings/.exec(read("docs/operating.md"))![1]!;
    const documented = [...table.matchAll(/^\| (`[a-z]+`(?:, `[a-z]+`)*) \|/gm)].flatMap(([, names]) =>
      names!.split(", ").map((name) => name.slice(1, -1)),
    );
    expect(documented).toEqual([...checkNames]);
  });
});
