import { type ChildProcess, execFile, fork } from "node:child_process";
import { randomBytes } from "node:crypto";
import { fileURLToPath } from "node:url";
import { bootstrap, connect, loadCluster, status } from "squall";
import { describe, expect, it, onTestFinished } from "vitest";
import { clusterContent, counterModule, echoModule, until } from "./support.js";

type Report = NonNullable<Awaited<ReturnType<typeof status>>[number]>;
const traffic = fileURLToPath(new URL("./children/traffic.js", import.meta.url));
const replicaChild = fileURLToPath(new URL("./children/replica.js", import.meta.url));

async function endTraffic(
  how: string,
  nodeOptions: string[] = [],
): Promise<{ code: number | string | null; output: string; errors: string }> {
  const parameters = { content: await clusterContent(), secret: randomBytes(32).toString("hex"), how, machine: echoModule.href };
  return new Promise((resolve) => {
    execFile(process.execPath, [...nodeOptions, traffic, JSON.stringify(parameters)], { timeout: 25_000 }, (error, output, errors) => {
      const signal = (error as { signal?: string } | null)?.signal;
      resolve({ code: error === null ? 0 : (signal ?? (error.code as number | null)), output: output.trim(), errors });
    });
  });
}

describe("a process under load ends", () => {
  it.each([
    ["exit", 7, "exit after enough"],
    ["exit-with-workers", 7, "exit after enough"],
    ["terminate", 0, "survived"],
    ["worker-exit", 0, "survived"],
    ["throw", 1, ""],
    ["leave", 0, "left"],
  ])("by %s", async (how, code, output) => {
    const result = await endTraffic(how);
    expect(result, result.errors).toMatchObject({ code, output });
  });

  it("with all handles collected", async () => {
    const result = await endTraffic("gc", ["--expose-gc"]);
    expect(result, result.errors).toMatchObject({ code: 0, output: "collected" });
  });
});

describe("three replica processes", () => {
  it("complete operations with one killed; restarted, it comes back with the others' state", async () => {
    const content = await clusterContent();
    const secret = randomBytes(32);
    const cluster = await loadCluster(content, { secret });
    const start = async (id: number): Promise<ChildProcess> => {
      const parameters = JSON.stringify({ content, secret: secret.toString("hex"), id, machine: counterModule.href });
      const child = fork(replicaChild, [parameters]);
      onTestFinished(() => void child.kill("SIGKILL"));
      await new Promise((resolve, reject) => child.once("message", resolve).once("exit", reject));
      return child;
    };
    const children = await Promise.all([0, 1, 2].map(start));
    await bootstrap({ cluster });
    const client = await connect({ cluster });
    onTestFinished(() => client.close());
    const one = Buffer.from([1, 0, 0, 0]);
    const add = async (count: number) =>
      (await Promise.all(Array.from({ length: count }, () => client.invoke(one, { deadlineMs: 15_000 })))).map((result) =>
        result.readDoubleLE(),
      );
    const read = async (consistency: "linearizable" | "session") =>
      (await client.read(Buffer.alloc(0), { consistency, deadlineMs: 15_000 })).readDoubleLE();
    expect(Math.max(...(await add(200)))).toBe(200);
    expect([await read("linearizable"), await read("session")]).toEqual([200, 200]);

    // The leader of view 0 itself: the hardest of the three.
    children[0]?.kill("SIGKILL");
    expect(Math.max(...(await add(50)))).toBe(250);
    expect([await read("linearizable"), await read("session")]).toEqual([250, 250]);
    expect(Math.max(...(await add(1)))).toBe(251);

    await start(0);
    expect(Math.max(...(await add(20)))).toBe(271);
    const asOne = (report: Report | undefined) => [
      report?.status,
      report?.speculative,
      report?.committed,
      report?.committedHash,
      report?.digest,
    ];
    let reports: (Report | undefined)[] = [];
    await until(async () => {
      reports = await status({ cluster, digest: true });
      return (
        new Set(reports.map((report) => JSON.stringify(asOne(report)))).size === 1 && reports[0]?.committed === reports[0]?.speculative
      );
    }, "all three agree");
    expect(reports[0]).toMatchObject({ status: "normal" });
    expect(reports[0]?.digest).toMatch(/^[0-9a-f]{64}$/);
  });
});
