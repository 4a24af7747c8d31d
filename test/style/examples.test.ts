/** The machines that the documentation shows are machines. */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { checkMachine } from "squall";
import { expect, it, onTestFinished } from "vitest";

const root = fileURLToPath(new URL("../../", import.meta.url));

it.each(["README.md", "docs/getting-started.md"])("the machine of %s passes squall check, without a note", async (page) => {
  const code = [...readFileSync(path.join(root, page), "utf8").matchAll(/```js\n([\s\S]*?)```/g)].find(([, text]) =>
    text!.includes("defineMachine"),
  )![1]!;
  // Within the package, so that it finds "squall".
  const folder = path.join(root, "build", `example-${process.pid}`);
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  mkdirSync(folder, { recursive: true });
  const file = path.join(folder, `${path.basename(page, ".md")}.js`);
  writeFileSync(file, code);
  expect(await checkMachine(file, { seed: 1, operations: 500 })).toMatchObject({ ok: true, findings: [], notes: [] });
});
