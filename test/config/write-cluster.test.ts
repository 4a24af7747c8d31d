import { mkdtemp, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { loadCluster, rewriteMembers, writeCluster } from "../../src/config.js";

let directory: string;
beforeAll(async () => {
  directory = await mkdtemp(path.join(tmpdir(), "squall-init-"));
});
afterAll(() => rm(directory, { recursive: true }));

it("a new cluster loads, and its secret is its owner's", async () => {
  const { file, secretFile } = await writeCluster(path.join(directory, "new"));
  const cluster = await loadCluster(file, { role: "replica" });
  expect(cluster.replicas.map(({ port }) => port)).toEqual([7100, 7101, 7102]);
  expect(cluster.secret).toHaveLength(32);
  expect((await stat(secretFile)).mode & 0o777).toBe(0o600);
});

it("each design loads", async () => {
  for (const design of ["unicast", "multicast", "serialized"] as const) {
    for (const host of ["127.0.0.1", "::1"]) {
      const { file } = await writeCluster(path.join(directory, `${design}${host.length}`), { design, host, replicas: 5, port: 8000 });
      const cluster = await loadCluster(file);
      expect(cluster.network.design).toBe(design);
      expect(cluster.replicas).toHaveLength(5);
    }
  }
});

it("protocol, mode and durability are written", async () => {
  const { file } = await writeCluster(path.join(directory, "durable"), { mode: "leader", durability: "sync" });
  expect(await loadCluster(file)).toMatchObject({ mode: "leader", durability: "sync", protocol: "speculative" });
  const { file: alone } = await writeCluster(path.join(directory, "alone"), { protocol: "unreplicated" });
  expect(await loadCluster(alone)).toMatchObject({ protocol: "unreplicated", replicas: [{ port: 7100 }] });
  await expect(writeCluster(path.join(directory, "bad"), { protocol: "paxos", mode: "leader" })).rejects.toMatchObject({
    code: "CLUSTER_FILE_INVALID",
  });
});

it("nothing is overwritten", async () => {
  const target = path.join(directory, "twice");
  const { secretFile } = await writeCluster(target);
  const secret = await readFile(secretFile, "utf8");
  await expect(writeCluster(target)).rejects.toMatchObject({ code: "INVALID_OPTION", message: expect.stringContaining("exists already") });
  expect(await readFile(secretFile, "utf8")).toBe(secret);
});

it("bad options are refused", async () => {
  await expect(writeCluster(directory, { replicas: 4 })).rejects.toMatchObject({ code: "CLUSTER_FILE_INVALID" });
  await expect(writeCluster(directory, { replica: 3 } as object)).rejects.toMatchObject({
    code: "UNKNOWN_OPTION",
    message: expect.stringContaining('"replicas"'),
  });
  await expect(writeCluster(directory, { design: "x" as "unicast" })).rejects.toMatchObject({ code: "INVALID_OPTION" });
  await expect(writeCluster(directory, { replicas: 3, host: ["a", "b"] })).rejects.toMatchObject({ code: "INVALID_OPTION" });
});

it("members keep the names that the file or its change has for them", async () => {
  const { file } = await writeCluster(path.join(directory, "names"), { host: "localhost" });
  const at = (ip: string, port: number) => ({ ip, port });
  const { ip } = (await loadCluster(file)).replicas[0]!;
  await rewriteMembers(file, [at(ip, 7100), at(ip, 7109), at(ip, 7102), at(ip, 7110), at("10.9.8.7", 7101)], [at("localhost", 7109)]);
  const { replicas } = JSON.parse(await readFile(file, "utf8")) as { replicas: unknown[] };
  expect(replicas).toEqual([
    { host: "localhost", port: 7100 },
    { host: "localhost", port: 7109 },
    { host: "localhost", port: 7102 },
    { host: ip, port: 7110 },
    { host: "10.9.8.7", port: 7101 },
  ]);
});
