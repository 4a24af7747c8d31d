/** Two of three replicas lose their memory at once: the group stands still, says so, and goes on only by `squall recover`. */
import { rm } from "node:fs/promises";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { type Client, connect, type DoctorReport } from "squall";
import { expect, it, onTestFinished } from "vitest";
import { until } from "../api/support.js";
import { counter, makeCluster, type Process, squall, start } from "./processes.js";

const addOne = Buffer.from([1, 0, 0, 0]);

const add = async (client: Client, deadlineMs = 10_000): Promise<number> => (await client.invoke(addOne, { deadlineMs })).readDoubleLE(0);

it("a new life begins with the state that is left, and clients go on in their sessions", { timeout: 90_000 }, async () => {
  const cluster = await makeCluster();
  const recover = (...args: string[]) => squall("recover", "--cluster", cluster.file, ...args);
  const replicas = await Promise.all([0, 1, 2].map((id) => cluster.startReplica(id)));
  expect(await squall("bootstrap", "--cluster", cluster.file)).toMatchObject({ status: 0 });
  const client = await connect({ cluster: cluster.file });
  onTestFinished(() => client.close());
  for (let value = 1; value <= 50; value++) expect(await add(client)).toBe(value);

  // As long as a majority remembers, nothing of the kind is allowed.
  const early = await recover("--yes");
  expect(early.status).not.toBe(0);
  expect(early.stderr).toMatch(/NEW_LIFE_REFUSED.*majority/);

  for (const replica of [replicas[0], replicas[2]]) {
    replica?.child.kill("SIGKILL");
    await replica?.ended;
  }
  expect((await recover("--yes")).stderr).toMatch(/NEW_LIFE_REFUSED.*Start the others, blank/);
  await Promise.all([0, 2].map((id) => cluster.startReplica(id)));

  // It refuses to go on, and says so: to a client, whose operation stays open, and to the operator.
  const open = add(client, 60_000);
  await expect(add(client, 1_500)).rejects.toMatchObject({
    code: "DEADLINE_EXCEEDED",
    outcome: "unknown",
    message: expect.stringContaining("squall recover"),
  });
  const status = await squall("status", "--cluster", cluster.file);
  expect(status.stdout).toMatch(/2 of 3 replicas have lost their memory.*`squall recover`/);
  const doctor = JSON.parse((await squall("doctor", "--cluster", cluster.file, "--json")).stdout) as DoctorReport;
  expect(doctor.checks.find(({ check }) => check === "quorum")).toMatchObject({
    result: "fail",
    remedy: expect.stringMatching(/2 of 3 replicas have lost their memory.*`squall recover`/),
  });

  const plan = await recover();
  expect(plan.status).toBe(1);
  expect(plan.stdout).toMatch(/Kept is what replica 1 holds: \d+ committed entries/);
  expect(plan.stdout).toMatch(/Lost are operations that were acknowledged and that only replica 0, 2 had/);
  expect(plan.stdout).toContain("Nothing was changed");

  const done = await recover("--yes", "--json");
  expect(done).toMatchObject({ status: 0, stderr: "" });
  expect(JSON.parse(done.stdout.trim())).toMatchObject({ state: "done", epoch: 1, from: 1, takePart: 3 });

  // What was acknowledged is there; the two that were open are executed once each.
  expect(await open).toBeGreaterThan(50);
  const [value, again] = [await add(client), await add(client)];
  expect(value).toBe(53);
  expect(again).toBe(54);
  const other = await connect({ cluster: cluster.file });
  onTestFinished(() => other.close());
  expect(await add(other)).toBe(55);
  await until(async () => {
    const { stdout } = await squall("status", "--cluster", cluster.file, "--json");
    const reports = JSON.parse(stdout) as { status: string; epoch: number; lifeId: string }[];
    return (
      new Set(reports.map(({ status, epoch, lifeId }) => `${status} ${epoch} ${lifeId}`)).size === 1 && reports[0]?.status === "normal"
    );
  }, "all replicas are in one life");
});

/** Three replicas with data directories, alive, with 50 operations behind them. */
async function withDisks(durability: "async" | "sync") {
  const cluster = await makeCluster();
  const file = await cluster.altered(`${durability}.json`, (content) => {
    content.durability = durability;
  });
  const directory = (id: number) => path.join(path.dirname(file), `data-${id}`);
  const startReplica = (id: number, ...more: string[]) =>
    start(["replica", "--cluster", file, "--id", String(id), "--machine", counter, "--data", directory(id), ...more]);
  const startAll = () => Promise.all([0, 1, 2].map((id) => startReplica(id)));
  const killAll = async (replicas: Process[]) => {
    for (const { child } of replicas) child.kill("SIGKILL");
    await Promise.all(replicas.map(({ ended }) => ended));
  };
  const replicas = await startAll();
  expect(await squall("bootstrap", "--cluster", file)).toMatchObject({ status: 0 });
  const client = await connect({ cluster: file });
  onTestFinished(() => client.close());
  for (let value = 1; value <= 50; value++) expect(await add(client)).toBe(value);
  return { file, directory, startReplica, startAll, killAll, replicas, client };
}

it("a new life begins with a disk that is left, and is on the disks of all", { timeout: 90_000 }, async () => {
  const { file, directory, startAll, killAll, replicas, client } = await withDisks("sync");
  await killAll(replicas);
  for (const id of [0, 2]) await rm(directory(id), { recursive: true });
  const again = await startAll();
  const done = await squall("recover", "--cluster", file, "--yes", "--json");
  expect(done).toMatchObject({ status: 0, stderr: "" });
  expect(JSON.parse(done.stdout.trim())).toMatchObject({ state: "done", epoch: 1, from: 1, takePart: 3 });
  expect(await add(client)).toBe(51);

  await killAll(again);
  await startAll();
  expect(await add(client)).toBe(52);
});

it("a new life begins with what the disks kept when nobody has a memory", { timeout: 90_000 }, async () => {
  const { file, directory, startReplica, startAll, killAll, replicas, client } = await withDisks("async");
  // The disks may lag behind a little.
  await sleep(500);
  await killAll(replicas);
  await rm(directory(0), { recursive: true });
  const again = await startAll();
  const status = await squall("status", "--cluster", file);
  expect(status.stdout).toMatch(/all replicas that answer have lost their memory.*`squall recover`/);

  // Replica 2 is not there, and its disk knows nothing of the new life.
  await killAll(again.slice(2));
  const done = await squall("recover", "--cluster", file, "--yes", "--json");
  expect(done).toMatchObject({ status: 0, stderr: "" });
  const { from, losses } = JSON.parse(done.stdout.trim()) as { from: number; losses: string[] };
  expect(from).toBe(1);
  expect(losses[0]).toMatch(/^No replica has its memory\. Kept is what the disk of replica 1 holds: \d+ committed entries\.$/);
  const value = await add(client);
  expect(value).toBeGreaterThan(1);
  expect(value).toBeLessThanOrEqual(51);

  // What it kept of the former life may be more than the new one began with.
  const late = await startReplica(2);
  expect(await late.ended).toBe(1);
  expect(late.output()).toMatch(/replica 2 stopped: the data directory is of a life that is over.*empty it/);
  await rm(directory(2), { recursive: true });
  await startReplica(2);
  await until(
    async () => {
      const { stdout } = await squall("status", "--cluster", file, "--json");
      return (JSON.parse(stdout) as { status: string }[]).every((report) => report.status === "normal");
    },
    "all replicas serve",
    30_000,
  );
  expect(await add(client)).toBe(value + 1);
});
