/** Replica processes with data directories that are killed all at once, one at a time, and with damaged files. */
import { type ChildProcess, fork } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { bootstrap, type Client, connect, createReplica, loadCluster, status } from "squall";
import { expect, it, onTestFinished } from "vitest";
import type { ClusterProtocol, Durability } from "../../src/config-types.js";
import { clusterContent, counterModule, until } from "./support.js";

const replicaChild = fileURLToPath(new URL("./children/replica.js", import.meta.url));
const one = Buffer.from([1, 0, 0, 0]);

/** Three replica processes, bootstrapped, and a client. */
async function startProcesses(durability: Durability, protocol: ClusterProtocol = "speculative") {
  const directory = mkdtempSync(path.join(tmpdir(), "squall-durability-"));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  const content = await clusterContent({ durability, protocol });
  const secret = randomBytes(32);
  const cluster = await loadCluster(content, { secret });
  const dataDirectory = (id: number) => path.join(directory, String(id));
  const launch = async (id: number, repair = false): Promise<{ child: ChildProcess; answer: unknown }> => {
    const parameters = {
      content,
      secret: secret.toString("hex"),
      id,
      machine: counterModule.href,
      dataDirectory: dataDirectory(id),
      repair,
    };
    const child = fork(replicaChild, [JSON.stringify(parameters)]);
    onTestFinished(() => void child.kill("SIGKILL"));
    const answer = await new Promise((resolve, reject) => child.once("message", resolve).once("exit", reject));
    return { child, answer };
  };
  const start = async (id: number, repair = false): Promise<ChildProcess> => {
    const { child, answer } = await launch(id, repair);
    expect(answer).toBe("up");
    return child;
  };
  const children = await Promise.all([0, 1, 2].map((id) => start(id)));
  await bootstrap({ cluster });
  const client = await connect({ cluster });
  onTestFinished(() => client.close());
  return { cluster, children, client, dataDirectory, launch, start };
}

async function kill(child: ChildProcess): Promise<void> {
  const gone = new Promise((resolve) => child.once("exit", resolve));
  child.kill("SIGKILL");
  await gone;
}

const add = (client: Client) => client.invoke(one, { deadlineMs: 30_000 }).then((result) => result.readDoubleLE());

async function agree(cluster: Awaited<ReturnType<typeof loadCluster>>): Promise<void> {
  await until(async () => {
    const reports = await status({ cluster, digest: true });
    const states = reports.map((report) => `${report?.status} ${report?.committed} ${report?.committedHash} ${report?.digest}`);
    return new Set(states).size === 1 && reports[0]?.status === "normal" && reports[0].committed === reports[0].speculative;
  }, "all three agree");
}

const all = ["speculative", "fast-paxos"] as const;

it.each(all)(
  "sync, %s: all killed at once under load, everything acknowledged is there once, and the same session goes on",
  async (protocol) => {
    const { cluster, children, client, start } = await startProcesses("sync", protocol);
    const results: Promise<number>[] = [];
    let acknowledged = 0;
    const load = setInterval(() => {
      for (let i = 0; i < 8 && client.metrics().outstanding < 64; i++) {
        const result = add(client);
        result.then(
          () => acknowledged++,
          () => {},
        );
        results.push(result);
      }
    }, 1);
    onTestFinished(() => clearInterval(load));
    await until(() => acknowledged >= 300, "300 acknowledged");
    await Promise.all(children.map(kill));
    clearInterval(load);
    const before = acknowledged;
    await Promise.all([0, 1, 2].map((id) => start(id)));
    const values = await Promise.all(results);
    expect(values.length).toBeGreaterThanOrEqual(before);
    expect(new Set(values).size).toBe(values.length);
    expect(Math.max(...values)).toBe(values.length);
    expect(await add(client)).toBe(values.length + 1);
    await agree(cluster);
    const reports = await status({ cluster });
    expect(reports.map((report) => report?.incarnation)).toEqual([1, 1, 1]);
  },
);

it.each(all)("async, %s: one that is killed has lost its memory and comes back; closed in order it goes on", async (protocol) => {
  const { cluster, children, client, start } = await startProcesses("async", protocol);
  for (let i = 0; i < 50; i++) await add(client);
  await kill(children[1] as ChildProcess);
  expect(await add(client)).toBe(51);
  children[1] = await start(1);
  expect(await add(client)).toBe(52);
  await agree(cluster);
  expect((await status({ cluster })).map((report) => report?.incarnation)).toEqual([1, 2, 1]);
  await Promise.all(
    children.map((child) => {
      const gone = new Promise((resolve) => child.once("exit", resolve));
      child.send("close");
      return gone;
    }),
  );
  await Promise.all([0, 1, 2].map((id) => start(id)));
  expect(await add(client)).toBe(53);
  expect((await status({ cluster })).map((report) => report?.incarnation)).toEqual([1, 2, 1]);
});

it("a damaged directory is refused, and repaired the replica rejoins; another's is refused", async () => {
  const { cluster, children, client, dataDirectory, launch, start } = await startProcesses("sync");
  for (let i = 0; i < 50; i++) await add(client);
  await kill(children[2] as ChildProcess);
  const directory = dataDirectory(2);
  const segment = readdirSync(directory)
    .map((name) => path.join(directory, name))
    .filter((file) => statSync(file).size > 10_000)
    .sort()[0] as string;
  const bytes = readFileSync(segment);
  const at = bytes.findIndex((byte, index) => index > 6_000 && byte !== 0);
  expect(at).toBeGreaterThan(0);
  bytes[at]! ^= 0x40;
  writeFileSync(segment, bytes);
  expect((await launch(2)).answer).toEqual({ refused: "STORAGE_CORRUPT" });
  expect(await add(client)).toBe(51);
  await start(2, true);
  expect(await add(client)).toBe(52);
  await agree(cluster);
  expect((await status({ cluster }))[2]?.incarnation).toBe(2);
  await kill(children[1] as ChildProcess);
  const foreign = createReplica({ cluster, id: 1, machine: counterModule, dataDirectory: dataDirectory(0) });
  await expect(foreign).rejects.toMatchObject({ code: expect.stringMatching(/^STORAGE_(FOREIGN|LOCKED)$/) });
});

it("refuses options that contradict each other", async () => {
  const cluster = await loadCluster(await clusterContent(), { secret: randomBytes(32) });
  const open = (options: object) => createReplica({ cluster, id: 0, machine: counterModule, ...options });
  await expect(open({ dataDirectory: "x" })).rejects.toMatchObject({ code: "INVALID_OPTION" });
  await expect(open({ durability: "sync" })).rejects.toMatchObject({ code: "INVALID_OPTION" });
  await expect(open({ durability: "always", dataDirectory: "x" })).rejects.toMatchObject({ code: "INVALID_OPTION" });
  await expect(open({ durability: "sync", dataDirectory: 1 })).rejects.toMatchObject({ code: "INVALID_OPTION" });
  await expect(open({ durability: "sync", dataDirectory: "x", repair: 1 })).rejects.toMatchObject({ code: "INVALID_OPTION" });
});
