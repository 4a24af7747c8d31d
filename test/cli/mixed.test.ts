/** A cluster of two releases, and a rolling upgrade from one to the other: the later one is this build under another number. */
import { type Client, connect } from "squall";
import { expect, it, onTestFinished } from "vitest";
import { until } from "../api/support.js";
import { counter, makeCluster, squall, start } from "./processes.js";

const nextRelease = { SQUALL_WIRE_VERSION: "2" };
const addOne = Buffer.from([1, 0, 0, 0]);

it("replicas of two releases work together, and speak the later version once all of them understand it", { timeout: 90_000 }, async () => {
  const cluster = await makeCluster();
  const replica = (id: number, env: NodeJS.ProcessEnv) =>
    start(["replica", "--cluster", cluster.file, "--id", String(id), "--machine", counter], { env });
  const running = [await replica(0, {}), await replica(1, nextRelease), await replica(2, {})];
  expect(await squall("bootstrap", "--cluster", cluster.file)).toMatchObject({ status: 0 });
  const client: Client = await connect({ cluster: cluster.file });
  onTestFinished(() => client.close());
  let expected = 0;
  const operate = async (): Promise<void> => {
    for (let i = 0; i < 30; i++) expect((await client.invoke(addOne, { deadlineMs: 15_000 })).readDoubleLE(0)).toBe(++expected);
  };
  const reports = async () => {
    const { stdout } = await squall("status", "--cluster", cluster.file, "--json");
    return JSON.parse(stdout) as { status: string; wireVersion?: number; counters?: { dropped: Record<string, number> } }[];
  };
  const allSpeak = (version: number) => async (): Promise<boolean> =>
    (await reports()).every((report) => report.status === "normal" && report.wireVersion === version);
  await operate();
  await until(allSpeak(1), "all speak version 1");

  for (const id of [0, 2]) {
    running[id]?.child.kill("SIGKILL");
    await running[id]?.ended;
    running[id] = await replica(id, nextRelease);
    await operate();
    await until(async () => (await reports()).every(({ status }) => status === "normal"), "it takes part again", 30_000);
  }
  await until(allSpeak(2), "all speak version 2", 30_000);
  await operate();
  // Nobody was told what it does not understand.
  expect((await reports()).map(({ counters }) => counters?.dropped.badVersion)).toEqual([undefined, undefined, undefined]);
});
