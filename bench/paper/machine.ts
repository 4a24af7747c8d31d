import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { cpus, release, totalmem, type } from "node:os";
import { fileURLToPath } from "node:url";
import type { MachineRecord } from "./record.js";

export function describeMachine(): MachineRecord {
  const machine = {
    cpu: cpus()[0]?.model.trim() ?? "unknown",
    cores: cpus().length,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    kernel: `${type()} ${release()}`,
    architecture: process.arch,
  };
  const fingerprint = createHash("sha256").update(JSON.stringify(machine)).digest("hex").slice(0, 16);
  return { ...machine, node: process.version, fingerprint };
}

/** "0.1.0", in a checkout "0.1.0 1a2b3c4d", with changes "0.1.0 1a2b3c4d+". */
export function squallVersion(): string {
  const root = new URL("../../", import.meta.url);
  const { version } = JSON.parse(readFileSync(new URL("package.json", root), "utf8")) as { version: string };
  const git = (...command: string[]) =>
    execFileSync("git", command, { cwd: fileURLToPath(root), encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }).trim();
  try {
    // Of this package's own repository, not of one that it is installed in.
    if (git("rev-parse", "--show-prefix") !== "") return version;
    const changed = git("status", "--porcelain", "--untracked-files=no") === "" ? "" : "+";
    return `${version} ${git("rev-parse", "--short=8", "HEAD")}${changed}`;
  } catch {
    return version;
  }
}
