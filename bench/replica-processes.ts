import type { ChildProcess } from "node:child_process";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { spawnChild } from "./children.js";

const main = fileURLToPath(new URL("../dist/cli/main.js", import.meta.url));
const startLimitMs = 20_000;
const stopLimitMs = 10_000;
const errorTextKept = 4_000;

export interface ReplicaProcessesOptions {
  /** The cluster file. */
  cluster: string;
  count: number;
  /** Path of the machine's module. */
  machine: string;
  /** The replicas' data directories are made in here; undefined: they have none. */
  data?: string;
  /** Command in front of Node for each replica, such as the one that enters its network namespace. */
  launcher?: (id: number) => string[];
}

/** The replicas of a cluster as processes of `squall replica`, each with one life after another. */
export class ReplicaProcesses {
  readonly count: number;
  readonly #options: ReplicaProcessesOptions;
  readonly #running: (ChildProcess | undefined)[];
  /** How replicas ended that nobody killed. */
  readonly deaths: string[] = [];

  constructor(options: ReplicaProcessesOptions) {
    this.#options = options;
    this.count = options.count;
    this.#running = new Array<undefined>(options.count).fill(undefined);
  }

  static async start(options: ReplicaProcessesOptions): Promise<ReplicaProcesses> {
    const replicas = new ReplicaProcesses(options);
    await Promise.all(Array.from({ length: options.count }, (_, id) => replicas.start(id)));
    return replicas;
  }

  running(id: number): boolean {
    return this.#running[id] !== undefined;
  }

  pid(id: number): number | undefined {
    return this.#running[id]?.pid;
  }

  /** Starts replica `id`, which must not be running; resolves when it is up (in status RECOVERY, as a rule). */
  start(id: number): Promise<void> {
    const { cluster, machine, data, launcher } = this.#options;
    const [command = process.execPath, ...before] = launcher?.(id) ?? [];
    const node = launcher === undefined ? [] : [process.execPath];
    const args = [...before, ...node, main, "replica", "--cluster", cluster, "--id", String(id), "--machine", machine];
    if (data !== undefined) args.push("--data", join(data, String(id)));
    const child = spawnChild(command, args, { stdio: ["ignore", "ignore", "pipe", "ipc"] });
    this.#running[id] = child;
    let errors = "";
    child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      errors = (errors + text).slice(-errorTextKept);
    });
    return new Promise((resolve, reject) => {
      const late = setTimeout(
        () => reject(new Error(`replica ${id} did not start within ${startLimitMs / 1000} s. ${errors}`)),
        startLimitMs,
      );
      child.once("message", () => {
        clearTimeout(late);
        resolve();
      });
      child.once("error", reject);
      child.once("exit", (code, signal) => {
        clearTimeout(late);
        if (this.#running[id] === child) {
          this.#running[id] = undefined;
          this.deaths.push(`replica ${id} ended by itself (${signal ?? code}). ${errors.trim()}`);
        }
        reject(new Error(`replica ${id} ended (${signal ?? code}). ${errors.trim()}`));
      });
    });
  }

  /** SIGKILL; resolves when the process is gone and its port free. */
  async kill(id: number): Promise<void> {
    const child = this.#running[id];
    if (child === undefined) return;
    this.#running[id] = undefined;
    const gone = new Promise((resolve) => child.once("exit", resolve));
    child.kill("SIGKILL");
    await gone;
  }

  /** SIGTERM, as an operator would; resolves when the process has ended, rejects where it does not. */
  async stop(id: number): Promise<void> {
    const child = this.#running[id];
    if (child === undefined) return;
    this.#running[id] = undefined;
    const gone = new Promise<void>((resolve, reject) => {
      const late = setTimeout(() => reject(new Error(`replica ${id} did not end within ${stopLimitMs / 1000} s of SIGTERM`)), stopLimitMs);
      child.once("exit", () => {
        clearTimeout(late);
        resolve();
      });
    });
    child.kill("SIGTERM");
    await gone;
  }

  pause(id: number): void {
    this.#running[id]?.kill("SIGSTOP");
  }

  resume(id: number): void {
    this.#running[id]?.kill("SIGCONT");
  }

  async killAll(): Promise<void> {
    await Promise.all(this.#running.map((_, id) => this.kill(id)));
  }
}
