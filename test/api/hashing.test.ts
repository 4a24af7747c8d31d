import { execFile } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { readdirSync } from "node:fs";
import { getPriority } from "node:os";
import { promisify } from "node:util";
import { afterAll, describe, expect, it } from "vitest";
import { closeHashPool, hashBytes, hashThreads, OffThreadBytes, verifySuffix } from "../../dist/data/hashing.js";
import { loadBinding } from "../../dist/data/load.js";
import { startGroup } from "./support.js";

afterAll(closeHashPool);

/** Inner bytes of a request, as the log keeps them: session, number, low mark, clock, flags, length, operation. */
function record(number: number, operation: Buffer): Buffer {
  const head = Buffer.alloc(40);
  head.writeUInt32LE(7, 0);
  head.writeUInt32LE(number, 8);
  head.writeUInt32LE(operation.length, 36);
  return Buffer.concat([head, operation]);
}

describe("hashing", () => {
  it.each([1000, OffThreadBytes, 3_000_000])("of %i bytes is SHA-256, wherever it runs", async (size) => {
    const bytes = randomBytes(size);
    expect(Buffer.from(await hashBytes(bytes)).toString("hex")).toBe(createHash("sha256").update(bytes).digest("hex"));
  });

  it.each([10, 4000])("of a suffix of %i records is the chain that the log has", async (count) => {
    const binding = loadBinding();
    const records = Array.from({ length: count }, (_, i) => record(i + 1, randomBytes(100)));
    const hashes = await verifySuffix(binding, new Uint8Array(32), records);
    let previous: Uint8Array = new Uint8Array(32);
    const expected = records.map((bytes) => {
      previous = binding.summaryHash(previous, bytes);
      return Buffer.from(previous).toString("hex");
    });
    expect(hashes.map((hash) => Buffer.from(hash).toString("hex"))).toEqual(expected);
  });

  it("of a large snapshot gives replicas with equal states equal digests", async () => {
    const group = await startGroup();
    const snapshot = randomBytes(4_000_000);
    for (const machine of group.machines) machine.snapshot = () => snapshot;
    const digests = await Promise.all(group.replicas.map((replica) => replica.digest()));
    expect(new Set(digests).size).toBe(1);
  });

  it("holds no process up", async () => {
    const hashing = new URL("../../dist/data/hashing.js", import.meta.url).href;
    // A thread that is still there at the exit was not waited for.
    const script = `const { hashBytes, hashThreads } = await import("${hashing}");
      process.on("exit", () => console.log(hashThreads()));
      console.log((await hashBytes(new Uint8Array(1_000_000))).length);`;
    const { stdout } = await promisify(execFile)(process.execPath, ["--input-type=module", "-e", script]);
    expect(stdout.split("\n").slice(0, 2)).toEqual(["32", "1"]);
  });
});

it.runIf(process.platform === "linux")("threads that hash stand behind the loops of replicas and clients", async () => {
  await hashBytes(randomBytes(OffThreadBytes));
  const own = getPriority();
  const threads = readdirSync("/proc/self/task").map((thread) => getPriority(Number(thread)));
  expect(threads.filter((priority) => priority > own).length).toBe(hashThreads());
});

describe("loading the addon", () => {
  it("names what is missing or can't be loaded", () => {
    expect(() => loadBinding("/nowhere/squall.node")).toThrow(expect.objectContaining({ code: "NATIVE_MISSING" }));
    expect(() => loadBinding(new URL(import.meta.url).pathname)).toThrow(expect.objectContaining({ code: "RUNTIME_UNSUPPORTED" }));
    expect(loadBinding()).toBe(loadBinding());
  });
});
