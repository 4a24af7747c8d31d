import { readFile } from "node:fs/promises";
import { type Client, connect } from "squall";
import { describe, expect, it, onTestFinished } from "vitest";
import { freePorts, until } from "../api/support.js";
import { counter, makeCluster, squall, start } from "./processes.js";

interface Listed {
  epoch: number;
  members: { index: number; port: number; status: string; committed: number }[];
}

async function listed(file: string): Promise<Listed> {
  const { status, stdout, stderr } = await squall("members", "list", "--json", "--cluster", file);
  expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
  return JSON.parse(stdout) as Listed;
}

const addOne = Buffer.from([1, 0, 0, 0]);

/** Adds 1 again and again, a few at a time: an operation that was lost or executed twice would leave a gap in the results. */
function load(client: Client) {
  const failures: string[] = [];
  const results = new Set<number>();
  let stopped = false;
  // Where the test fails before it stops them, the lanes would go round for ever with a closed client.
  onTestFinished(() => {
    stopped = true;
  });
  let done = 0;
  const lanes = Array.from({ length: 4 }, async () => {
    while (!stopped) {
      try {
        results.add((await client.invoke(addOne, { deadlineMs: 10_000 })).readDoubleLE(0));
        done++;
      } catch (error) {
        failures.push((error as Error).message);
      }
    }
  });
  return {
    get done() {
      return done;
    },
    async stop() {
      stopped = true;
      await Promise.all(lanes);
      return { done, failures, results };
    },
  };
}

describe("squall members", () => {
  it("replaces a dead replica, grows to five and shrinks to three under load, without a failed operation", {
    timeout: 60_000,
  }, async () => {
    const cluster = await makeCluster();
    const replicas = await Promise.all([0, 1, 2].map((id) => cluster.startReplica(id)));
    expect(await squall("bootstrap", "--cluster", cluster.file)).toMatchObject({ status: 0 });
    const before = await readFile(cluster.file, "utf8");
    const client = await connect({ cluster: cluster.file });
    onTestFinished(() => client.close());
    const running = load(client);
    const goesOn = async (): Promise<void> => {
      const reached = running.done + 100;
      await until(() => running.done >= reached, "operations go on", 15_000);
    };
    await goesOn();

    const ports = await freePorts(3);
    const join = (port: number) => start(["replica", "--cluster", cluster.file, "--join", `127.0.0.1:${port}`, "--machine", counter]);
    const [replacement, fourth, fifth] = await Promise.all(ports.map(join));
    replicas[1]?.child.kill("SIGKILL");
    await replicas[1]?.ended;
    await goesOn();
    const replaced = await squall("members", "replace", "1", `127.0.0.1:${ports[0]}`, "--cluster", cluster.file);
    expect(replaced).toMatchObject({ status: 0, stderr: "" });
    expect(replaced.stdout).toContain("epoch 1: 3 of 3 members take part");
    await goesOn();
    const after = JSON.parse(await readFile(cluster.file, "utf8"));
    expect(after).toEqual({ ...JSON.parse(before), replicas: expect.anything() });
    expect(after.replicas.map(({ port }: { port: number }) => port)).toEqual([cluster.ports[0], ports[0], cluster.ports[2]]);

    const grown = await squall("members", "add", `127.0.0.1:${ports[1]}`, `127.0.0.1:${ports[2]}`, "--cluster", cluster.file, "--json");
    expect(grown).toMatchObject({ status: 0, stderr: "" });
    expect(
      grown.stdout
        .trim()
        .split("\n")
        .map((line) => JSON.parse(line))
        .at(-1),
    ).toMatchObject({ state: "done", epoch: 2 });
    await goesOn();
    expect(await listed(cluster.file)).toMatchObject({ epoch: 2, members: [0, 1, 2, 3, 4].map((index) => ({ index, status: "normal" })) });

    expect(await squall("members", "remove", "0", "2", "--cluster", cluster.file)).toMatchObject({ status: 0, stderr: "" });
    await goesOn();
    // A removed replica stops answering, and its process ends.
    expect(await replicas[0]?.ended).toBe(0);
    expect(await replicas[2]?.ended).toBe(0);
    expect(replicas[0]?.output()).toMatch(/replica 0 is no member any more/);
    const last = await listed(cluster.file);
    expect(last).toMatchObject({ epoch: 3, members: ports.map((port, index) => ({ index, port, status: "normal" })) });

    const { done, failures, results } = await running.stop();
    expect(failures).toEqual([]);
    expect(results.size).toBe(done);
    expect([...results].reduce((most, one) => Math.max(most, one), 0)).toBe(done);
    for (const { child } of [replacement, fourth, fifth] as { child: { exitCode: number | null } }[]) expect(child.exitCode).toBeNull();
  });

  it("refuses what leads to no configuration, and says what to do", { timeout: 60_000 }, async () => {
    const cluster = await makeCluster();
    expect((await squall("members", "list", "--cluster", cluster.file)).stderr).toContain("MEMBERS_UNREACHABLE");
    await Promise.all([0, 1, 2].map((id) => cluster.startReplica(id)));
    await squall("bootstrap", "--cluster", cluster.file);
    const [port] = await freePorts(1);
    const refusal = async (...args: string[]): Promise<string> => {
      const { status, stderr } = await squall("members", ...args, "--cluster", cluster.file);
      expect(status).not.toBe(0);
      return stderr;
    };
    expect(await refusal("add", `127.0.0.1:${port}`)).toMatch(/MEMBERS_INVALID.*4 members.*odd number.*Add or remove two at once/);
    expect(await refusal("remove", "0")).toContain("MEMBERS_INVALID");
    expect(await refusal("add", "127.0.0.1")).toMatch(/error USAGE: .*host:port/);
    expect(await refusal("replace", "9", `127.0.0.1:${port}`)).toMatch(/error USAGE: .*whole number from 0 to 8/);
    expect(await refusal("replace", "0", "127.0.0.1")).toMatch(/error USAGE: .*host:port/);
    expect(await refusal("remove", "first")).toMatch(/error USAGE: .*whole number/);
    expect(await refusal("remove", "0", "7")).toContain("There is no member 7");
    expect(await refusal("remove", "0", "1")).toMatch(/Only 1 of 3 members would stay/);
    expect(await refusal("replace", "0", `127.0.0.1:${cluster.ports[1]}`)).toContain("MEMBERS_INVALID");
    expect(await refusal("replace", "0", `127.0.0.1:${port}`)).toMatch(/MEMBERS_UNREACHABLE.*squall replica --join/);
    const other = await cluster.altered("other.json", (content) => void Object.assign(content, { limits: { window: 32 } }));
    await start(["replica", "--cluster", other, "--join", `127.0.0.1:${port}`, "--machine", counter]);
    expect(await refusal("replace", "0", `127.0.0.1:${port}`)).toContain("MEMBERS_CONFIG");
    expect(await listed(cluster.file)).toMatchObject({ epoch: 0 });
  });
});
