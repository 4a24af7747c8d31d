import { spawnSync } from "node:child_process";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";

const root = fileURLToPath(new URL("../../", import.meta.url));

it.each<[string, string[], RegExp]>([
  ["an unknown benchmark", ["comit"], /^error USAGE: there is no benchmark "comit"\. There are: commit, .*paper/],
  ["an experiment of the suite", ["figure8"], /paper figure8/],
  ["an unknown option", ["commit", "--roundz", "3"], /^error USAGE: unknown option '--roundz'\n\(Did you mean --rounds\?\)/],
  ["an unknown experiment", ["paper", "figure7"], /there is no experiment "figure7"\. Did you mean "figure8"\? There are: latency, /],
  ["an unknown protocol of the suite", ["paper", "--protocols", "raft"], /there is no protocol "raft"\. There are: .*fast-paxos/],
  ["an unknown protocol", ["commit", "--protocol", "raft"], /Allowed choices are .*fast-paxos/],
])("%s is refused with the names that there are, and status 2: 1 is for wrong results", (_name, args, expected) => {
  const { status, stderr } = spawnSync(process.execPath, [path.join(root, "dist/cli/main.js"), "bench", ...args], {
    encoding: "utf8",
    timeout: 20_000,
    env: { ...process.env, NO_COLOR: "1", NODE_NO_WARNINGS: "1" },
  });
  expect(stderr).toMatch(expected);
  expect(status).toBe(2);
});
