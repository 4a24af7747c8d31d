import { spawnSync } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

const main = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));
let directory: string;

function squall(...args: string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [main, ...args], {
    cwd: directory,
    encoding: "utf8",
    timeout: 20_000,
    env: { ...process.env, NO_COLOR: "1", FORCE_COLOR: undefined, NODE_NO_WARNINGS: "1" },
  });
  return { status, stdout, stderr };
}

beforeAll(async () => {
  directory = await mkdtemp(path.join(tmpdir(), "squall-cli-"));
});
afterAll(() => rm(directory, { recursive: true }));

describe("usage errors end with status 2", () => {
  it.each<[string, string[], RegExp]>([
    ["an unknown command", ["replicate"], /error USAGE: unknown command 'replicate'.*\n\(Did you mean replica\?\)/],
    ["an unknown option", ["status", "--jsn"], /error USAGE: unknown option '--jsn'\n\(Did you mean --json\?\)/],
    ["a missing option", ["replica", "--id", "0"], /error USAGE: required option '--machine <module>' not specified/],
    ["a number that is none", ["replica", "--id", "x", "--machine", "m.js"], /error USAGE: .*A whole number from 0 to 8 is needed/],
    ["another design", ["init", "--design", "anycast"], /Allowed choices are unicast, multicast, serialized/],
    ["a missing argument", ["invoke"], /error USAGE: missing required argument 'operation'/],
    ["another consistency", ["invoke", "x", "--consistency", "strict"], /Allowed choices are linearizable, session, stale/],
  ])("%s", (_name, args, expected) => {
    const { status, stderr } = squall(...args);
    expect(stderr).toMatch(expected);
    expect(status).toBe(2);
  });
});

describe("errors end with status 1, a code and no stack", () => {
  it.each<[string, string[], RegExp]>([
    ["no cluster file", ["status"], /^error CLUSTER_FILE_MISSING: .*squall init/],
    ["no machine", ["check", "nowhere.js"], /^error MACHINE_LOAD_FAILED: /],
    [
      "no machine for a replica on the main thread",
      ["replica", "--id", "0", "--thread", "main", "--machine", "nowhere.js"],
      /^error MACHINE_LOAD_FAILED: /,
    ],
    ["a bad hex operation", ["invoke", "--hex", "abc"], /^error INVALID_OPTION: /],
    ["four replicas", ["init", "--replicas", "4", "-d", "four"], /^error CLUSTER_FILE_INVALID: .*3, 5, 7 or 9/],
    ["another profile", ["sim", "--faults", "chaos"], /^error INVALID_OPTION: /],
    ["an even number of simulated replicas", ["sim", "--replicas", "4"], /^error INVALID_OPTION: /],
  ])("%s", (_name, args, expected) => {
    const { status, stderr } = squall(...args);
    expect(stderr).toMatch(expected);
    expect(stderr).not.toMatch(/\n\s+at /);
    expect(status).toBe(1);
  });

  it("and a stack where it is asked for", () => {
    expect(squall("--debug", "status").stderr).toMatch(/\n\s+at /);
  });
});

describe("a new cluster", () => {
  it("is written once, and tells what to do next", async () => {
    expect(squall("init", "--port", "7300")).toMatchObject({ status: 0, stdout: expect.stringContaining("squall bootstrap") });
    expect(JSON.parse(await readFile(path.join(directory, "cluster.json"), "utf8")).replicas[2]).toEqual({ host: "127.0.0.1", port: 7302 });
    expect(squall("init", "--design", "serialized", "-d", "serialized").stdout).toContain("squall relay");
    expect(squall("init", "--durability", "sync", "--mode", "leader", "-d", "durable").stdout).toContain("--data");
    expect(JSON.parse(await readFile(path.join(directory, "durable/cluster.json"), "utf8"))).toMatchObject({
      durability: "sync",
      mode: "leader",
    });
    expect(squall("init")).toMatchObject({ status: 1, stderr: expect.stringContaining("exists already") });
  });

  it("issues client keys", async () => {
    const { stdout, status } = squall("key", "issue", "--id", "0102030405060708");
    expect(status).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ id: "0102030405060708", key: expect.stringMatching(/^[0-9a-f]{64}$/) });
    expect(squall("key", "issue", "--out", "client.key")).toMatchObject({ status: 0 });
    expect(squall("key", "issue", "--id", "12")).toMatchObject({
      status: 1,
      stderr: expect.stringMatching(/^error INVALID_OPTION: .*16 hex digits/),
    });
    expect(squall("status", "--client-key", "client.key", "--deadline", "100")).toMatchObject({
      status: 1,
      stdout: expect.stringMatching(/no answer(.|\n)*`squall doctor` looks for the reason/),
    });
  });

  it("says when nobody is there, or when the file or secret is broken", async () => {
    expect(squall("invoke", "x", "--deadline", "200")).toMatchObject({ status: 1, stderr: expect.stringMatching(/^error NOBODY_THERE: /) });
    expect(squall("bootstrap", "--deadline", "200")).toMatchObject({
      status: 1,
      stderr: expect.stringMatching(/^error BOOTSTRAP_INCOMPLETE: /),
    });
    expect(squall("relay")).toMatchObject({ status: 1, stderr: expect.stringMatching(/^error CLUSTER_FILE_INVALID: .*serialized/) });
    expect(squall("replica", "--id", "5", "--machine", "m.js")).toMatchObject({
      status: 1,
      stderr: expect.stringMatching(/^error INVALID_OPTION: /),
    });
    await writeFile(path.join(directory, "cluster.secret"), "abc");
    expect(squall("bootstrap")).toMatchObject({ status: 1, stderr: expect.stringMatching(/^error SECRET_INVALID: .*64 hex digits/) });
    await writeFile(path.join(directory, "cluster.json"), '{ "cluser": 1 }');
    expect(squall("status")).toMatchObject({ status: 1, stderr: expect.stringMatching(/^error CLUSTER_FILE_INVALID: /) });
  });
});

describe("squall check", () => {
  const machine = (name: string) => fileURLToPath(new URL(`./machines/${name}.mjs`, import.meta.url));

  it("passes a machine and fails another", () => {
    expect(squall("check", machine("good"))).toMatchObject({ status: 0, stdout: expect.stringContaining("no divergence") });
    expect(squall("check", machine("random"))).toMatchObject({ status: 1, stdout: expect.stringContaining("own-randomness") });
    const { stdout } = squall("check", "--json", "--seed", "3", machine("good"));
    expect(JSON.parse(stdout)).toMatchObject({ ok: true, seed: 3 });
  });
});
