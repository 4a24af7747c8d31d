import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { spawnChild } from "../children.js";
import { cpuTimesUs, since } from "../cpu-time.js";
import { mean } from "../statistics.js";

export interface FloorResult {
  p50Us: number;
  p99Us: number;
  p999Us: number;
  opsPerSecond: number;
  operations: number;
  /** Operations with those of the warm-up. */
  answered: number;
  /** Processor time of the client. */
  cpuUs: number;
  resent: number;
}

/** A run, with the processor time for each operation. */
export interface FloorRun extends FloorResult {
  clientCpuUs: number;
  /** Mean over the echo processes. */
  echoCpuUs: number;
}

/** Compiles the floor with the machine's C compiler into `folder`, returns the path of the program. */
export function compileFloor(folder: string): string {
  const source = fileURLToPath(new URL("../../bench/floor/floor.c", import.meta.url));
  if (!existsSync(source)) throw new Error(`${source} is missing: the benchmark needs bench/floor from the package`);
  const program = join(folder, "floor");
  const compiler = process.env.CC ?? "cc";
  try {
    execFileSync(compiler, ["-O2", "-o", program, source], { stdio: ["ignore", "ignore", "pipe"] });
  } catch (error) {
    throw new Error(`the C compiler '${compiler}' did not build bench/floor/floor.c (set CC to another)`, { cause: error });
  }
  return program;
}

interface FloorOptions {
  group: string;
  port: number;
  cpu?: number;
  lifetimeSeconds: number;
}

/** Echo processes, and a leader in front of them for the two-round-trip floor, that stay for the whole benchmark (blocked in a receive, they cost nothing while the other side runs). */
export class Floor {
  readonly #program: string;
  readonly #group: string[];
  readonly #cpu: string[];
  readonly #echoes: readonly number[];

  private constructor(program: string, group: string[], cpu: string[], echoes: readonly number[]) {
    this.#program = program;
    this.#group = group;
    this.#cpu = cpu;
    this.#echoes = echoes;
  }

  /** One round trip: the client sends to three echo processes and waits for all. */
  static async start(program: string, options: FloorOptions): Promise<Floor> {
    const { group, cpu, start } = processes(program, options);
    const echoes = await Promise.all([0, 1, 2].map((id) => start("echo", ["--id", String(id)])));
    return new Floor(program, group, cpu, echoes);
  }

  /** Two round trips: client, leader, two backups, and back as soon as one of them has answered. `leaderPort`: another than `port`. */
  static async startTwoRoundTrips(program: string, options: FloorOptions & { leaderPort: number }): Promise<Floor> {
    const { cpu, start } = processes(program, options);
    const port = String(options.leaderPort);
    const echoes = await Promise.all([start("echo", ["--id", "1"]), start("echo", ["--id", "2"]), start("leader", ["--own", port])]);
    return new Floor(program, ["--group", "127.0.0.1", "--port", port, "--echoes", "1"], cpu, echoes);
  }

  async run(window: number, seconds: number): Promise<FloorRun> {
    const beforeUs = cpuTimesUs(this.#echoes);
    const result = await this.#client(window, seconds);
    const echoesUs = mean(since(beforeUs, cpuTimesUs(this.#echoes)));
    return { ...result, clientCpuUs: result.cpuUs / result.answered, echoCpuUs: echoesUs / result.answered };
  }

  #client(window: number, seconds: number): Promise<FloorResult> {
    const child = spawnChild(this.#program, [
      "client",
      ...this.#group,
      "--window",
      String(window),
      "--seconds",
      String(seconds),
      ...this.#cpu,
    ]);
    return new Promise((resolve, reject) => {
      let text = "";
      child.stdout!.on("data", (chunk) => {
        text += chunk;
      });
      child.once("error", reject);
      child.once("close", (code) => {
        if (code === 0) resolve(JSON.parse(text) as FloorResult);
        else reject(new Error(`the floor's client ended with status ${code}`));
      });
    });
  }
}

function processes(program: string, options: FloorOptions) {
  const group = ["--group", options.group, "--port", String(options.port), "--echoes", "3"];
  const cpu = options.cpu === undefined ? [] : ["--cpu", String(options.cpu)];
  /** The id of the process once it says that it is ready. */
  const start = (what: string, more: string[]): Promise<number> => {
    const child = spawnChild(program, [what, ...group, ...more, "--lifetime", String(options.lifetimeSeconds), ...cpu]);
    return new Promise<number>((resolve, reject) => {
      child.stdout!.once("data", () => resolve(child.pid!));
      child.once("exit", (code) => reject(new Error(`the floor's ${what} process ended (${code})`)));
    });
  };
  return { group, cpu, start };
}
