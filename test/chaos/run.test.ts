import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";

const main = fileURLToPath(new URL("../../dist-bench/chaos/main.js", import.meta.url));

function chaos(...args: string[]): Promise<{ code: number | string | null | undefined; output: string }> {
  return new Promise((resolve) => {
    execFile(process.execPath, [main, ...args], { timeout: 110_000 }, (error, output, errors) => {
      resolve({ code: error === null ? 0 : error.code, output: `${output}${errors}` });
    });
  });
}

it("a few seconds of paused replica processes on loopback lose nothing", { timeout: 120_000 }, async () => {
  const { code, output } = await chaos(
    ...["--minutes", "0.05", "--seed", "5", "--namespaces", "no", "--faults", "pause", "--rate", "500", "--json"],
  );
  expect(code, output).toBe(0);
  const figures = JSON.parse(
    output
      .trim()
      .split("\n")
      .find((line) => line.startsWith("{"))!,
  );
  expect(figures).toMatchObject({ ok: true, network: "loopback", lost: 0, duplicated: 0, linearizable: true, digestsAgree: true });
  expect(figures.faults.pause).toBeGreaterThan(0);
  expect(figures.acknowledged).toBeGreaterThan(100);
});

it("refuses what it can't do", async () => {
  expect(await chaos("--minutes", "1", "--namespaces", "no", "--faults", "partition")).toMatchObject({ code: 2 });
  expect((await chaos("--minutes", "1", "--faults", "earthquake")).output).toContain("is none of kill, killf, pause");
});
