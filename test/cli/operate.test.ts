import { writeFile } from "node:fs/promises";
import type { DoctorReport, StatusSample } from "squall";
import { describe, expect, it } from "vitest";
import { until } from "../api/support.js";
import { makeCluster, squall, start } from "./processes.js";

async function doctor(...args: string[]): Promise<DoctorReport & { status: number | null }> {
  const { status, stdout, stderr } = await squall("doctor", "--json", "--deadline", "400", ...args);
  expect(stderr).toBe("");
  return { status, ...(JSON.parse(stdout) as DoctorReport) };
}

const about = (report: DoctorReport, check: string, replica?: number) =>
  report.checks.filter((found) => found.check === check && found.replica === replica);

describe("squall doctor", () => {
  it("finds nothing wrong with a healthy group, then who is blank and who is gone", async () => {
    const cluster = await makeCluster("multicast");
    const replicas = await Promise.all([0, 1, 2].map((id) => cluster.startReplica(id)));
    const blank = await doctor("--cluster", cluster.file);
    expect(about(blank, "life")).toMatchObject([{ result: "warn", remedy: expect.stringContaining("squall bootstrap") }]);
    expect(await squall("bootstrap", "--cluster", cluster.file)).toMatchObject({ status: 0 });

    const healthy = await doctor("--cluster", cluster.file);
    expect(healthy.checks.filter(({ result }) => result === "fail")).toEqual([]);
    expect(healthy).toMatchObject({ status: 0, ok: true });
    for (const check of ["name", "answer", "version", "configuration", "state", "peers", "datagram", "multicast", "clock"]) {
      expect(
        healthy.checks.filter((found) => found.check === check).map(({ replica, result }) => ({ replica, result })),
        check,
      ).toEqual([0, 1, 2].map((replica) => ({ replica, result: "ok" })));
    }
    expect(about(healthy, "quorum")).toMatchObject([{ result: "ok" }]);
    expect(about(healthy, "datagram", 0)).toMatchObject([{ message: expect.stringContaining("32768 bytes") }]);

    replicas[1]?.child.kill("SIGKILL");
    await replicas[1]?.ended;
    const dead = await doctor("--cluster", cluster.file);
    expect(dead).toMatchObject({ status: 1, ok: false });
    expect(about(dead, "answer", 1)).toMatchObject([{ result: "fail", message: expect.stringContaining("Nobody answers") }]);
    expect(about(dead, "quorum")).toMatchObject([{ result: "warn", message: expect.stringContaining("2 of 3") }]);
    const one = await doctor("--cluster", cluster.file, "--id", "2");
    expect(one.status).toBe(0);
    expect(new Set(one.checks.map(({ replica }) => replica))).toEqual(new Set([2, undefined]));

    const { status, stdout } = await squall("doctor", "--cluster", cluster.file, "--deadline", "300");
    expect(status).toBe(1);
    expect(stdout).toMatch(/fail {2}answer {9}replica 1: Nobody answers at 127\.0\.0\.1 port \d+\.\n {21}Is the replica running/);
    expect(stdout).toMatch(/\d+ ok, \d+ to look at, 1 failed\n$/);
  });

  it("says when the key, the cluster or the configuration is another", async () => {
    const cluster = await makeCluster();
    await Promise.all([0, 1, 2].map((id) => cluster.startReplica(id)));
    await squall("bootstrap", "--cluster", cluster.file);
    const otherCluster = await cluster.altered(
      "other-cluster.json",
      (content) => void Object.assign(content, { cluster: "0123456789abcdef" }),
    );
    const wrongCluster = await doctor("--cluster", otherCluster);
    expect(wrongCluster.status).toBe(1);
    expect(about(wrongCluster, "answer", 0)).toMatchObject([{ result: "fail", message: expect.stringContaining("another cluster") }]);

    const otherLimits = await cluster.altered("other-limits.json", (content) => void Object.assign(content, { limits: { window: 32 } }));
    const wrongLimits = await doctor("--cluster", otherLimits);
    expect(wrongLimits.status).toBe(1);
    expect(about(wrongLimits, "answer", 2)).toMatchObject([{ result: "ok" }]);
    expect(about(wrongLimits, "configuration", 2)).toMatchObject([{ result: "fail", message: expect.stringContaining("differs") }]);

    await writeFile(cluster.secretFile, `${"ab".repeat(32)}\n`);
    const wrongKey = await doctor("--cluster", cluster.file);
    expect(wrongKey.status).toBe(1);
    expect(about(wrongKey, "answer", 1)).toMatchObject([{ result: "fail", message: expect.stringContaining("does not accept the key") }]);
  });

  it("says that a relay is not there, or which replicas it reaches", async () => {
    const cluster = await makeCluster("serialized");
    await Promise.all([0, 1, 2].map((id) => cluster.startReplica(id)));
    const without = await doctor("--cluster", cluster.file);
    expect(without.status).toBe(1);
    expect(about(without, "relay")).toMatchObject([{ result: "fail", message: expect.stringContaining("forwards nothing") }]);
    const relay = await start(["relay", "--cluster", cluster.file]);
    expect((await doctor("--cluster", cluster.file)).checks.filter(({ check }) => check === "relay").map(({ result }) => result)).toEqual([
      "ok",
      "ok",
      "ok",
    ]);
    relay.child.kill("SIGTERM");
    // Looking must not have turned replicas' answers to the relay.
    await relay.ended;
    expect(about(await doctor("--cluster", cluster.file), "answer", 0)).toMatchObject([{ result: "ok" }]);
  });

  it("says what is wrong with the file or a name, without a stack", async () => {
    const missing = await doctor("--cluster", "nowhere.json");
    expect(missing).toMatchObject({ status: 1, checks: [{ check: "file", result: "fail" }] });
    const cluster = await makeCluster();
    const named = await cluster.altered("named.json", (content) => {
      (content.replicas as { host: string }[])[1] = { host: "nobody.invalid", port: 7100 } as never;
    });
    const unknown = await doctor("--cluster", named);
    expect(unknown.status).toBe(1);
    expect(about(unknown, "name", 1)).toMatchObject([
      { result: "fail", message: expect.stringContaining("nobody.invalid can't be looked up") },
    ]);
    expect(about(unknown, "name", 0)).toMatchObject([{ result: "ok" }]);
  });
});

describe("squall status --watch", () => {
  it("prints a line of JSON each interval, with rates, until it is interrupted", async () => {
    const cluster = await makeCluster();
    const replicas = await Promise.all([0, 1, 2].map((id) => cluster.startReplica(id)));
    await squall("bootstrap", "--cluster", cluster.file);
    const watch = await start(["status", "--watch", "--json", "--interval", "100", "--cluster", cluster.file], { wait: false });
    const samples = (): StatusSample[] =>
      watch
        .output()
        .split("\n")
        .slice(0, -1)
        .map((line) => JSON.parse(line) as StatusSample);
    await until(() => samples().length >= 2, "two samples", 10_000);
    await squall("invoke", "--hex", "01000000", "--cluster", cluster.file);
    for (const rate of ["committed", "appended"] as const) {
      await until(() => samples().some(({ replicas: [first] }) => (first?.rates?.[rate] ?? 0) > 0), `a rate of ${rate}`, 10_000);
    }
    replicas[2]?.child.kill("SIGKILL");
    await until(() => samples().at(-1)?.replicas[2]?.status === ("no answer" as never), "replica 2 is missed", 10_000);
    expect(samples().at(-1)?.replicas[0]).toMatchObject({ id: 0, leader: expect.any(Number), silent: expect.any(Array) });
    watch.child.kill("SIGINT");
    expect(await watch.ended).toBe(0);
  });

  it("prints a block each interval where there is no terminal", async () => {
    const cluster = await makeCluster();
    await cluster.startReplica(1);
    const watch = await start(["status", "--watch", "--interval", "100", "--cluster", cluster.file], { wait: false });
    await until(() => watch.output().includes("`squall bootstrap` begins"), "the way out of blank replicas", 10_000);
    const headings = () => watch.output().match(/^replica +status .* ops\/s .*$/gm)?.length ?? 0;
    await until(() => headings() >= 2, "two blocks", 10_000);
    expect(watch.output()).toMatch(/^0 +no answer$/m);
    expect(watch.output()).toMatch(/^1 +recovery /m);
    watch.child.kill("SIGTERM");
    expect(await watch.ended).toBe(0);
  });
});

describe("squall replica --metrics-port", () => {
  it("serves metrics; a port in use keeps the replica from starting", async () => {
    const cluster = await makeCluster();
    const replica = await cluster.startReplica(0, "--metrics-port", "0");
    await until(() => /metrics on 127\.0\.0\.1 port \d+/.test(replica.output()), "the port");
    const port = /metrics on 127\.0\.0\.1 port (\d+)/.exec(replica.output())![1]!;
    const response = await fetch(`http://127.0.0.1:${port}/metrics`);
    expect(response.headers.get("content-type")).toContain("text/plain");
    expect(await response.text()).toMatch(/^squall_replica_status\{cluster="[0-9a-f]{16}",replica="0",status="recovery"\} 1$/m);
    await expect(cluster.startReplica(1, "--metrics-port", port)).rejects.toThrow(/ended with status 1: .*error ADDRESS_IN_USE: /);
  });
});
