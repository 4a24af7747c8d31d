import { type ChildProcess, spawn } from "node:child_process";
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it, onTestFinished } from "vitest";
import { loadBinding } from "../../src/data/load.js";
import { FileDisk } from "../../src/data/storage/file-disk.js";
import { type OpenedStorage, ReplicaStorage } from "../../src/data/storage/storage.js";
import { rows, textsOf } from "./support.js";

const writer = fileURLToPath(new URL("./writer-process.mjs", import.meta.url));
const identity = { cluster: new Uint8Array(8), replica: 0 };

function temporary(): string {
  const directory = mkdtempSync(path.join(tmpdir(), "squall-storage-"));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

function open(directory: string): Promise<OpenedStorage> {
  return ReplicaStorage.open(new FileDisk(directory, loadBinding().lockFile), { identity, segmentBytes: 256 * 1024 });
}

const flushed = (storage: ReplicaStorage) =>
  new Promise<void>((resolve, reject) => storage.flush((error) => (error === undefined ? resolve() : reject(error))));
const closed = (storage: ReplicaStorage) =>
  new Promise<void>((resolve, reject) => storage.close((error) => (error === undefined ? resolve() : reject(error))));

/** Everything that the process printed before it was killed, after `lines` lines. */
async function writeUntilKilled(directory: string, lines: number): Promise<string[]> {
  const child: ChildProcess = spawn(process.execPath, [writer, directory], { stdio: ["ignore", "pipe", "inherit"] });
  let text = "";
  child.stdout!.on("data", (chunk: Buffer) => {
    text += chunk.toString();
    if (text.split("\n").length > lines) child.kill("SIGKILL");
  });
  await new Promise((resolve) => child.once("close", resolve));
  expect(child.signalCode).toBe("SIGKILL");
  return text.split("\n").slice(0, -1);
}

describe("in files", () => {
  it("everything acknowledged is there after kill -9 in the middle of writing, five times over", async () => {
    const directory = temporary();
    for (let kill = 0; kill < 5; kill++) {
      const acknowledged = Number((await writeUntilKilled(directory, 40 + kill * 13)).at(-1));
      const { storage, recovered } = await open(directory);
      const { first, end } = recovered.entries;
      expect(end).toBeGreaterThanOrEqual(acknowledged);
      expect(Buffer.from(recovered.state!).toString()).toBe(`end ${end}`);
      expect(textsOf(recovered)).toEqual(
        Array.from({ length: end - first + 1 }, (_, i) => `row ${first + i} ${"r".repeat((first + i) % 500)}`),
      );
      expect(recovered.snapshot?.seqno ?? 0).toBe(first - 1);
      let snapshot = "";
      await new Promise<void>((resolve, reject) =>
        storage.readSnapshot(
          (chunk) => {
            snapshot += Buffer.from(chunk).toString();
          },
          (error) => (error === undefined ? resolve() : reject(error)),
        ),
      );
      expect(snapshot).toBe(first === 1 ? "" : `state at ${first - 1}`);
      await closed(storage);
    }
  });

  it("a directory in use is refused, in this process and from another, and free again after kill -9", async () => {
    const directory = temporary();
    const child = spawn(process.execPath, [writer, directory], { stdio: ["ignore", "pipe", "inherit"] });
    await new Promise((resolve) => child.stdout!.once("data", resolve));
    await expect(open(directory)).rejects.toMatchObject({ code: "STORAGE_LOCKED" });
    child.kill("SIGKILL");
    await new Promise((resolve) => child.once("close", resolve));
    const { storage } = await open(directory);
    await expect(open(directory)).rejects.toMatchObject({ code: "STORAGE_LOCKED" });
    await closed(storage);
    await closed((await open(directory)).storage);
  });

  it("a damaged file is refused, and nothing in the directory is changed by that", async () => {
    const directory = temporary();
    const { storage } = await open(directory);
    for (const text of ["one", "two", "three"]) {
      storage.append(storage.end + 1, rows(text));
      await flushed(storage);
    }
    await closed(storage);
    const log = path.join(directory, readdirSync(directory).find((name) => name.startsWith("log-"))!);
    const bytes = readFileSync(log);
    bytes[4096 + 112]! ^= 1;
    writeFileSync(log, bytes);
    await expect(open(directory)).rejects.toMatchObject({ code: "STORAGE_CORRUPT" });
    expect(readFileSync(log).equals(bytes)).toBe(true);
  });

  it.runIf(process.getuid?.() !== 0)("no permission is said so (not for root, who has all)", async () => {
    const directory = temporary();
    await closed((await open(directory)).storage);
    chmodSync(path.join(directory, "identity.json"), 0);
    await expect(open(directory)).rejects.toMatchObject({ code: "STORAGE_DENIED" });
  });

  it("a path that can't be a directory is said so", async () => {
    const directory = temporary();
    const file = path.join(directory, "file");
    writeFileSync(file, "");
    await expect(open(path.join(file, "below"))).rejects.toMatchObject({ code: "STORAGE_DENIED" });
    symlinkSync(path.join(directory, "nowhere"), path.join(directory, "link"));
    for (const below of ["link", "link/below", "link/below/it"])
      await expect(open(path.join(directory, below))).rejects.toMatchObject({ code: "STORAGE_DENIED" });
    // Where nobody can make a directory, though the one above it is there.
    if (process.platform === "linux") await expect(open("/proc/squall/below")).rejects.toMatchObject({ code: "STORAGE_DENIED" });
  });
});
