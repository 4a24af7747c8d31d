/** The other checkout of Squall that a comparison runs: a folder, or a commit of this repository. */
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

/** Of this checkout: the folder above dist-bench. */
export const ownRoot = fileURLToPath(new URL("../../../", import.meta.url));

/** The folder of a checkout whose benchmarks are built; a commit is checked out and built below bench-results, and kept for the next time. */
export function checkoutOf(against: string): string {
  if (existsSync(against)) {
    const root = resolve(against);
    if (existsSync(benchOf(root))) return root;
    throw new Error(`${root} has no built benchmarks (${benchOf(root)}): run \`npm run setup\` in it.`);
  }
  const commit = run("git", ["rev-parse", "--verify", "--quiet", "--end-of-options", `${against}^{commit}`], ownRoot);
  if (commit === undefined) throw new Error(`--against ${against}: neither a folder nor a commit of this repository.`);
  const root = join(ownRoot, "bench-results", "checkouts", commit.slice(0, 12));
  if (existsSync(benchOf(root))) return root;
  console.error(`building ${commit.slice(0, 12)} in ${root}; \`git worktree remove --force ${root}\` takes it away again`);
  if (!existsSync(root)) must("git", ["worktree", "add", "--detach", root, commit], ownRoot);
  must("npm", ["ci", "--no-audit", "--no-fund"], root);
  must(process.execPath, ["scripts/setup.mjs"], root);
  return root;
}

export function benchOf(root: string): string {
  return join(root, "dist-bench", "main.js");
}

function run(command: string, args: string[], cwd: string): string | undefined {
  const { status, stdout } = spawnSync(command, args, { cwd, encoding: "utf8" });
  return status === 0 ? stdout.trim() : undefined;
}

function must(command: string, args: string[], cwd: string): void {
  const { status, stdout, stderr, error } = spawnSync(command, args, { cwd, encoding: "utf8", maxBuffer: 64 << 20 });
  if (status !== 0)
    throw new Error(`${command} ${args.join(" ")} failed in ${cwd}: ${error?.message ?? `${stdout}${stderr}`.trim().slice(-2000)}`);
}
