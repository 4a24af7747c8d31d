/** Replicas as child processes, from a cluster file of their own in a temporary folder. */
import { type ChildProcess, fork } from "node:child_process";
import { rmSync } from "node:fs";
import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { writeCluster } from "../../config.js";
import { SquallError } from "../../errors.js";
import { freePorts } from "./free-ports.js";

const main = fileURLToPath(new URL("../main.js", import.meta.url));
const machine = fileURLToPath(new URL("../../machines/counter.js", import.meta.url));
const startLimitMs = 8_000;
const stderrKept = 4_000;

export class DemoGroup {
  readonly file: string;
  readonly #directory: string;
  readonly #children: ChildProcess[] = [];
  #stopped = false;

  private constructor(directory: string, file: string) {
    this.#directory = directory;
    this.file = file;
    process.once("exit", () => this.stop());
  }

  /** Starts `replicas` replicas of the counter on loopback; resolves when all are up. */
  static async start(replicas: number): Promise<DemoGroup> {
    const directory = await mkdtemp(path.join(tmpdir(), "squall-demo-"));
    const limits = { logEntries: 8 << 20, logBytes: 4 * 2 ** 30 };
    const { file } = await writeCluster(directory, { replicas, ports: await freePorts(replicas), limits });
    const group = new DemoGroup(directory, file);
    try {
      await Promise.all(Array.from({ length: replicas }, (_, id) => group.#startReplica(id)));
    } catch (error) {
      group.stop();
      throw error;
    }
    return group;
  }

  /** Ends the children by their process ids and removes the folder; at once, whatever they do. Idempotent. */
  stop(): void {
    if (this.#stopped) return;
    this.#stopped = true;
    for (const child of this.#children) child.kill("SIGKILL");
    rmSync(this.#directory, { recursive: true, force: true });
  }

  #startReplica(id: number): Promise<void> {
    const args = ["replica", "--cluster", this.file, "--id", String(id), "--machine", machine];
    const child = fork(main, args, { stdio: ["ignore", "ignore", "pipe", "ipc"] });
    this.#children.push(child);
    let stderr = "";
    child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      stderr = (stderr + text).slice(-stderrKept);
    });
    return new Promise((resolve, reject) => {
      const late = setTimeout(
        () => reject(new SquallError("WORKER_FAILED", `Replica ${id} did not start within ${startLimitMs / 1000} s. ${stderr}`)),
        startLimitMs,
      );
      child.once("message", () => {
        clearTimeout(late);
        resolve();
      });
      child.once("exit", (code, signal) => {
        clearTimeout(late);
        const end = signal === null ? `with status ${code}` : `by ${signal}`;
        reject(new SquallError("WORKER_FAILED", `Replica ${id} ended ${end}. ${stderr.trim()}`));
      });
    });
  }
}
