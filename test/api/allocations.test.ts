import { fork } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import { clusterContent } from "./support.js";

/** The test build counts the allocations of the addon's own code. */
const binding = fileURLToPath(new URL("../../build/Mutations/squall.node", import.meta.url));
/** So many a run that what the compiler takes at times of its own, up to 500 KB, is little for each. */
const operations = 40_000;

interface PerOperation {
  native: number;
  heapBytes: number;
}

async function measure(): Promise<{ steady: PerOperation; promised: PerOperation; scrambled: PerOperation }> {
  expect(existsSync(binding), "the test build is missing: node scripts/build-native.mjs --mutations").toBe(true);
  // Control messages are rare, and no collection comes during a run.
  const timing = { syncMinMs: 1000, syncMaxMs: 1000, syncEvery: 1 << 20, heartbeatMs: 1000, detectMs: 10_000, syncTimeoutMs: 10_000 };
  const content = await clusterContent({ timing, limits: { logEntries: 1 << 20 } });
  const child = fork(
    fileURLToPath(new URL("./children/allocations.js", import.meta.url)),
    [JSON.stringify({ content, secret: randomBytes(32).toString("hex"), operations })],
    { execArgv: ["--expose-gc", "--min-semi-space-size=64", "--max-semi-space-size=64"], env: { ...process.env, SQUALL_BINDING: binding } },
  );
  const [figures] = await once(child, "message");
  return figures as Awaited<ReturnType<typeof measure>>;
}

it("takes nothing from the heaps for an operation in steady state", async () => {
  const { steady, promised, scrambled } = await measure();
  // Three replicas and a client: one allocation for each operation at any of them would be 1 more, an object with one field 24 bytes at least.
  expect(steady.native).toBeLessThan(0.1);
  expect(steady.heapBytes).toBeLessThan(24);
  expect(promised.heapBytes, "the heap's growth is seen").toBeGreaterThan(200);
  expect(scrambled.native, "allocations are counted").toBeGreaterThanOrEqual(1);
});
