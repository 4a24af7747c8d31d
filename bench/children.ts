import { type ChildProcess, fork, type SpawnOptions, spawn } from "node:child_process";

/**
 * Processes of a benchmark. Each is killed by its id when the benchmark ends, however it ends; forked ones also leave by
 * themselves when their channel to the benchmark closes.
 */
const running = new Map<number, ChildProcess>();

function keep(child: ChildProcess): ChildProcess {
  const pid = child.pid;
  if (pid === undefined) return child;
  running.set(pid, child);
  child.once("exit", () => running.delete(pid));
  return child;
}

function killAll(): void {
  for (const pid of running.keys()) {
    try {
      process.kill(pid, "SIGKILL");
    } catch {
      // it has just ended by itself
    }
  }
}

let installed = false;
function killChildrenAtExit(): void {
  if (installed) return;
  installed = true;
  process.once("exit", killAll);
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.once(signal, () => process.exit(130));
}

export function spawnChild(command: string, values: string[], options: SpawnOptions = {}): ChildProcess {
  killChildrenAtExit();
  return keep(spawn(command, values, { stdio: ["ignore", "pipe", "inherit"], ...options }));
}

interface Call {
  id: number;
  name: string;
  argument: unknown;
}
type Answer = { id: number; value: unknown } | { id: number; error: string };

/** A forked module that answers calls. */
export class Child {
  readonly #process: ChildProcess;
  readonly #waiting = new Map<number, { resolve(value: unknown): void; reject(error: Error): void }>();
  #nextId = 1;

  /** `launcher`: a command in front of Node, such as the one that pins to a CPU. */
  constructor(module: URL, options: { launcher?: string[]; execArgv?: string[] } = {}) {
    killChildrenAtExit();
    const [execPath = process.execPath, ...launcher] = options.launcher ?? [];
    const execArgv = [...launcher, ...(options.launcher ? [process.execPath] : []), ...(options.execArgv ?? [])];
    this.#process = keep(fork(module, [], { execPath, execArgv, serialization: "advanced" }));
    this.#process.on("message", (answer: Answer) => {
      const waiting = this.#waiting.get(answer.id);
      this.#waiting.delete(answer.id);
      if ("error" in answer) waiting?.reject(new Error(answer.error));
      else waiting?.resolve(answer.value);
    });
    this.#process.once("exit", (code, signal) => {
      for (const { reject } of this.#waiting.values()) reject(new Error(`a child process ended early (${signal ?? code})`));
      this.#waiting.clear();
    });
  }

  get pid(): number {
    return this.#process.pid!;
  }

  call<Result>(name: string, argument?: unknown, timeoutMs = 60_000): Promise<Result> {
    const id = this.#nextId++;
    return new Promise<Result>((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#waiting.delete(id);
        reject(new Error(`a child process did not answer '${name}' within ${timeoutMs} ms`));
      }, timeoutMs);
      this.#waiting.set(id, {
        resolve: (value) => {
          clearTimeout(timer);
          resolve(value as Result);
        },
        reject: (error) => {
          clearTimeout(timer);
          reject(error);
        },
      });
      this.#process.send({ id, name, argument } satisfies Call, (error) => {
        if (error) this.#waiting.get(id)?.reject(error);
      });
    });
  }

  kill(): void {
    this.#process.kill("SIGKILL");
  }
}

/** The child's side of Child. */
// biome-ignore lint/suspicious/noExplicitAny: each handler knows its own argument
export function answerCalls(handlers: Record<string, (argument: any) => unknown>): void {
  process.on("message", async ({ id, name, argument }: Call) => {
    let answer: Answer;
    try {
      const handler = handlers[name];
      if (!handler) throw new Error(`no call '${name}'`);
      answer = { id, value: await handler(argument) };
    } catch (error) {
      answer = { id, error: error instanceof Error ? `${error.message}\n${error.stack ?? ""}` : String(error) };
    }
    process.send?.(answer);
  });
  process.once("disconnect", () => process.exit(0));
}
