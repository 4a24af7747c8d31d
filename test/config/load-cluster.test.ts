import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type ClusterFile, loadCluster } from "../../src/config.js";
import { SquallError } from "../../src/errors.js";

let directory: string;
const replicas = [7100, 7101, 7102].map((port) => ({ host: "127.0.0.1", port }));
const base: ClusterFile = { cluster: "00112233445566ff", replicas };

beforeAll(async () => {
  directory = await mkdtemp(path.join(tmpdir(), "squall-config-"));
});
afterAll(() => rm(directory, { recursive: true }));

/** What a rejected load says: its code and message. */
async function problem(source: unknown, options?: unknown): Promise<string> {
  try {
    await loadCluster(source as ClusterFile, options as object);
  } catch (error) {
    expect(error).toBeInstanceOf(SquallError);
    return `${(error as SquallError).code}: ${(error as SquallError).message}`;
  }
  return "loaded";
}

async function write(name: string, content: unknown, mode = 0o600): Promise<string> {
  const file = path.join(directory, name);
  await writeFile(file, typeof content === "string" ? content : JSON.stringify(content), { mode });
  await chmod(file, mode);
  return file;
}

describe("a cluster file", () => {
  it("loads with defaults", async () => {
    await write("secret", "ab".repeat(32));
    const file = await write("good.json", { ...base, secretFile: "secret" });
    const cluster = await loadCluster(file, { role: "replica" });
    expect(cluster).toMatchObject({
      file,
      replicas: replicas.map(({ port }) => ({ ip: "127.0.0.1", port })),
      network: { design: "unicast" },
      sealed: true,
    });
    expect(Buffer.from(cluster.group).toString("hex")).toBe(base.cluster);
    expect(Buffer.from(cluster.secret!).toString("hex")).toBe("ab".repeat(32));
    expect(cluster.datagramBytes).toBe(32768);
    expect(cluster.limits).toEqual({
      operationBytes: 1 << 20,
      window: 64,
      sessions: 4096,
      logEntries: 1 << 19,
      logBytes: 256 * 2 ** 20,
      checkpointEvery: 65_536,
      prepareBatch: 64,
      clockSkewMs: 500,
      queue: 1024,
    });
    expect(cluster.timing).toEqual({
      syncMinMs: 2,
      syncMaxMs: 50,
      syncEvery: 4096,
      syncTimeoutMs: 50,
      reconciliationTimeoutMs: 50,
      resendMs: 10,
      heartbeatMs: 20,
      detectMs: 80,
    });
  });

  it("loads by URL, as an object, and a second time", async () => {
    const file = await write("url.json", base);
    expect((await loadCluster(pathToFileURL(file))).file).toBe(file);
    const cluster = await loadCluster(base, { secret: new Uint8Array(32) });
    expect(cluster.file).toBeUndefined();
    expect(await loadCluster(cluster)).toEqual(cluster);
    expect(base).toEqual({ cluster: "00112233445566ff", replicas });
  });

  it("looks host names up, and takes IPv6", async () => {
    const named = await loadCluster({ ...base, replicas: [{ host: "localhost", port: 1 }] });
    expect(["127.0.0.1", "::1"]).toContain(named.replicas[0]!.ip);
    const six = await loadCluster({ ...base, replicas: replicas.map(({ port }) => ({ host: "::1", port })) });
    expect(six.replicas[2]).toEqual({ ip: "::1", port: 7102 });
    expect(six.datagramBytes).toBe(32768);
  });

  it("sends smaller datagrams beyond loopback", async () => {
    const far = await loadCluster({ ...base, replicas: [{ host: "192.0.2.1", port: 1 }] });
    expect(far.datagramBytes).toBe(1400);
    expect((await loadCluster({ ...base, datagramBytes: 9000 })).datagramBytes).toBe(9000);
  });

  it("resolves the designs", async () => {
    const multicast = await loadCluster({ ...base, network: { design: "multicast", multicast: { group: "239.1.2.3", port: 9000 } } });
    expect(multicast.network).toMatchObject({ design: "multicast", group: "239.1.2.3", port: 9000 });
    const serialized = await loadCluster({ ...base, network: { design: "serialized", relay: { host: "127.0.0.1", port: 9000 } } });
    expect(serialized.network).toEqual({ design: "serialized", relay: { ip: "127.0.0.1", port: 9000 } });
  });

  it.each<[string, unknown, RegExp]>([
    ["an unknown key", { ...base, secretfile: "x" }, /CLUSTER_FILE_INVALID: .*unknown key "secretfile". Did you mean "secretFile"\?/],
    ["an unknown nested key", { ...base, limits: { windows: 1 } }, /unknown key "limits.windows". Did you mean "window"\?/],
    ["a key like none", { ...base, limits: { zzzzzz: 1 } }, /unknown key "limits.zzzzzz". Allowed: operationBytes, /],
    ["a missing key", { replicas }, /the key "cluster" is missing; it is needed. The cluster id, 16 hex digits/],
    ["a short cluster id", { ...base, cluster: "0011" }, /"cluster" must match pattern .*; it is "0011"/],
    ["a port out of range", { ...base, replicas: [{ host: "a", port: 70000 }] }, /"replicas\[0\].port" must be <= 65535; it is 70000/],
    ["two replicas", { ...base, replicas: replicas.slice(1) }, /"replicas" must list 3, 5, 7 or 9 replicas \(or 1\); it lists 2/],
    ["one address twice", { ...base, replicas: [replicas[0], replicas[1], replicas[0]] }, /127.0.0.1:7100 is named twice/],
    [
      "multicast without a group",
      { ...base, network: { design: "multicast" } },
      /"network.multicast" is missing; it is needed by the design "multicast"/,
    ],
    ["serialized without a relay", { ...base, network: { design: "serialized" } }, /"network.relay" is missing/],
    ["another design", { ...base, network: { design: "anycast" } }, /must be one of "unicast", "multicast", "serialized"; it is "anycast"/],
    [
      "a unicast group",
      { ...base, network: { design: "multicast", multicast: { group: "10.0.0.1", port: 1 } } },
      /ADDRESS_INVALID: .*must be a multicast address/,
    ],
    [
      "an interface that is not there",
      { ...base, network: { design: "multicast", multicast: { group: "239.1.1.1", port: 1, interface: "nope9" } } },
      /ADDRESS_INVALID: .*"nope9"/,
    ],
    [
      "mixed families",
      { ...base, replicas: [replicas[0], { host: "::1", port: 1 }, replicas[1]] },
      /ADDRESS_INVALID: .*all hosts must have IPv4 addresses, or all IPv6/,
    ],
    ["a window of 0", { ...base, limits: { window: 0 } }, /"limits.window" must be >= 1; it is 0. Outstanding requests/],
    ["crossed periods", { ...base, timing: { syncMinMs: 20, syncMaxMs: 10 } }, /"timing.syncMinMs" \(20\) must not exceed/],
    ["no object", 7, /INVALID_OPTION: cluster must be the path of a cluster file/],
    ["null", null, /INVALID_OPTION/],
  ])("is refused for %s", async (_name, source, expected) => {
    expect(await problem(source)).toMatch(expected);
  });

  it("is refused when it is not there or not JSON, naming the file", async () => {
    expect(await problem(path.join(directory, "none.json"))).toMatch(
      /CLUSTER_FILE_MISSING: .*none.json does not exist. Make one with `squall init`/,
    );
    const broken = await write("broken.json", "{ nope");
    expect(await problem(broken)).toContain(`CLUSTER_FILE_INVALID: ${broken} is not JSON`);
    const wrong = await write("wrong.json", { ...base, secrets: 1 });
    expect(await problem(wrong)).toContain(`CLUSTER_FILE_INVALID: ${wrong}: unknown key "secrets"`);
    expect(await problem(new URL("http://localhost/x"))).toMatch(/INVALID_OPTION: cluster must be a path or a file URL/);
  });

  it("can't be looked up for a host that has no address", async () => {
    expect(await problem({ ...base, replicas: [{ host: "no-such-host.invalid", port: 1 }] })).toMatch(
      /ADDRESS_INVALID: .*can't be looked up/,
    );
  });
});

describe("keys", () => {
  const key = { cluster: base.cluster, id: "0102030405060708", key: "cd".repeat(32) };

  it("must be there for the roles that need them", async () => {
    expect(await problem(base, { role: "replica" })).toMatch(/SECRET_MISSING: .*a replica needs the cluster secret/);
    expect(await problem(base, { role: "client" })).toMatch(/SECRET_MISSING: .*or a client key/);
    expect(await problem({ ...base, secretFile: path.join(directory, "gone") }, { role: "client" })).toMatch(
      /SECRET_MISSING: The secret file .*gone/,
    );
    expect(await problem({ ...base, secretFile: path.join(directory, "gone") }, { role: "relay" })).toBe("loaded");
  });

  it("must have the right length", async () => {
    const short = await write("short", "ab".repeat(31));
    expect(await problem({ ...base, secretFile: short })).toMatch(/SECRET_INVALID: .*must hold 64 hex digits .* it holds 62 characters/);
    expect(await problem(base, { secret: new Uint8Array(16) })).toMatch(/SECRET_INVALID/);
  });

  it("of a client stand in for the secret", async () => {
    const file = await write("client.json", key);
    const cluster = await loadCluster({ ...base, secretFile: "not-here" }, { role: "client", clientKey: file });
    expect(cluster.secret).toBeUndefined();
    expect(Buffer.from(cluster.clientKey!.id).toString("hex")).toBe(key.id);
    expect(await problem(base, { clientKey: { ...key, cluster: "ff".repeat(8) } })).toMatch(/WRONG_CLUSTER/);
    expect(await problem(base, { clientKey: { ...key, key: "cd" } })).toMatch(/SECRET_INVALID/);
    expect(await problem(base, { clientKey: path.join(directory, "none") })).toMatch(/SECRET_MISSING/);
  });

  it("that others can read cause a warning", async () => {
    const open = await write("open", "ab".repeat(32), 0o644);
    const warned = new Promise<Error>((resolve) => process.once("warning", resolve));
    await loadCluster({ ...base, secretFile: open });
    expect(await warned).toMatchObject({ code: "SQUALL_SECRET_READABLE", message: expect.stringContaining("chmod 600") });
  });

  it("are not needed unsealed, which says so", async () => {
    const warned = new Promise<Error>((resolve) => process.once("warning", resolve));
    const cluster = await loadCluster({ ...base, security: "unsealed-for-benchmarks" }, { role: "replica" });
    expect(cluster.sealed).toBe(false);
    expect(await warned).toMatchObject({ code: "SQUALL_UNSEALED" });
  });
});

it("misspelled options are named", async () => {
  expect(await problem(base, { rol: "replica" })).toBe('UNKNOWN_OPTION: loadCluster has no option "rol". Did you mean "role"?');
});
