import { fork } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { writeCluster } from "squall";
import { expect, it, onTestFinished } from "vitest";
import { counterModule, freePorts } from "../api/support.js";

const main = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));

it.each(["SIGTERM", "SIGINT"] as const)("squall replica, forked, ends at %s", async (signal) => {
  const directory = await mkdtemp(path.join(tmpdir(), "squall-cli-"));
  onTestFinished(() => rm(directory, { recursive: true }));
  const { file } = await writeCluster(directory, { replicas: 3, ports: await freePorts(3) });
  const args = ["replica", "--cluster", file, "--id", "1", "--machine", fileURLToPath(counterModule)];
  const child = fork(main, args, { stdio: ["ignore", "ignore", "inherit", "ipc"] });
  onTestFinished(() => void child.kill("SIGKILL"));
  await once(child, "message");
  child.kill(signal);
  expect(await once(child, "exit")).toEqual([0, null]);
});
