/** Replicas, relays and other commands as real processes, for the tests of the command line. */
import { type ChildProcess, execFile, fork } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { writeCluster } from "squall";
import { onTestFinished } from "vitest";
import { freePorts } from "../api/support.js";

export const main = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));
export const counter = fileURLToPath(new URL("../../dist/machines/counter.js", import.meta.url));
const environment = { ...process.env, NO_COLOR: "1", FORCE_COLOR: undefined, NODE_NO_WARNINGS: "1" };

export interface Finished {
  status: number | null;
  stdout: string;
  stderr: string;
}

/** Runs a command to its end. */
export function squall(...args: string[]): Promise<Finished> {
  return new Promise((resolve) => {
    execFile(process.execPath, [main, ...args], { timeout: 20_000, env: environment }, (error, stdout, stderr) => {
      resolve({ status: error === null ? 0 : ((error.code as unknown as number | undefined) ?? null), stdout, stderr });
    });
  });
}

export interface Process {
  child: ChildProcess;
  /** All it printed so far. */
  output(): string;
  /** Its exit status. */
  ended: Promise<number | null>;
}

/** Starts a command; resolves when it says that it is up, or at once with `wait: false`. It is killed after the test. */
export async function start(args: string[], { wait = true, env = {} as NodeJS.ProcessEnv } = {}): Promise<Process> {
  const child = fork(main, args, { stdio: ["ignore", "pipe", "pipe", "ipc"], env: { ...environment, ...env } });
  onTestFinished(() => void child.kill("SIGKILL"));
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding("utf8").on("data", (text: string) => {
      output += text;
    });
  }
  const ended = new Promise<number | null>((resolve) => child.once("exit", (code) => resolve(code)));
  if (wait) {
    await new Promise<void>((resolve, reject) => {
      child.once("message", () => resolve());
      child.once("exit", (code) => reject(new Error(`squall ${args[0]} ended with status ${code}: ${output}`)));
    });
  }
  return { child, output: () => output, ended };
}

/** A new cluster file with its secret, in a folder of its own. */
export async function makeCluster(design: "unicast" | "multicast" | "serialized" = "unicast") {
  const directory = await mkdtemp(path.join(tmpdir(), "squall-cli-"));
  onTestFinished(() => rm(directory, { recursive: true, force: true }));
  const ports = await freePorts(4);
  const { file, secretFile } = await writeCluster(directory, {
    design,
    ports: design === "unicast" ? ports.slice(0, 3) : ports,
    limits: { logEntries: 65_536, logBytes: 256 * 1024 * 1024 },
  });
  return {
    file,
    secretFile,
    ports,
    /** A copy of the file with other content. */
    async altered(name: string, change: (content: Record<string, unknown>) => void): Promise<string> {
      const content = JSON.parse(await readFile(file, "utf8")) as Record<string, unknown>;
      change(content);
      const copy = path.join(directory, name);
      await writeFile(copy, JSON.stringify(content));
      return copy;
    },
    startReplica: (id: number, ...more: string[]) =>
      start(["replica", "--cluster", file, "--id", String(id), "--machine", counter, ...more]),
    startWith: (id: number, machine: string, env: NodeJS.ProcessEnv) =>
      start(["replica", "--cluster", file, "--id", String(id), "--machine", machine], { env }),
  };
}
