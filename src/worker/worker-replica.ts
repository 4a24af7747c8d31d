/** The starting thread's side of a replica in a Worker. */
import { Worker } from "node:worker_threads";
import { ReplicaStatus, StatusWord } from "../data/binding.js";
import type { ReplicaEvent } from "../data/events.js";
import { SquallError } from "../errors.js";
import type { ReplicaBackend } from "../replica.js";
import type { ReplicaReport } from "../status.js";
import { type FromWorker, type PlainError, type ReplicaWorkerData, type ToWorker, WorkerMark } from "./protocol.js";

type Digest = { executed: number; digest: string };
interface Call {
  resolve(value: ReplicaReport | Digest): void;
  reject(error: SquallError): void;
}

/** Starts the Worker and waits until the replica listens. Rejects with what the Worker met, or WORKER_FAILED. */
export async function openWorkerReplica(
  data: Omit<ReplicaWorkerData, "mark">,
  onEvent: (event: ReplicaEvent) => void,
): Promise<ReplicaBackend> {
  const workerData: ReplicaWorkerData = { mark: WorkerMark, ...data };
  const worker = new Worker(new URL("./replica-worker.js", import.meta.url), {
    workerData,
    name: `squall replica ${data.id}`,
    execArgv: inheritedArguments(process.execArgv),
  });
  const calls = new Map<number, Call>();
  let lastCall = 0;
  let failure: SquallError | undefined;
  let closing = false;
  let closed = false;

  const address = await new Promise<{ ip: string; port: number }>((resolve, reject) => {
    worker.on("message", (message: FromWorker) => {
      switch (message.type) {
        case "ready":
          return resolve(message.address);
        case "failed":
          failure = revive(message.error);
          return reject(failure);
        case "event":
          closed ||= message.event.type === "closed";
          return onEvent(message.event);
        case "answer":
          calls.get(message.call)?.resolve(message.value);
          return void calls.delete(message.call);
        case "refusal":
          calls.get(message.call)?.reject(revive(message.error));
          return void calls.delete(message.call);
      }
    });
    worker.on("error", (cause) => {
      failure ??= new SquallError(
        "WORKER_FAILED",
        `The Worker of replica ${data.id} ended by an uncaught error: ${cause instanceof Error ? cause.message : String(cause)}.`,
        { cause },
      );
      reject(failure);
    });
    worker.on("exit", (code) => {
      failure ??= new SquallError(
        closing ? "CLOSED" : "WORKER_FAILED",
        closing ? `Replica ${data.id} is closed.` : `The Worker of replica ${data.id} ended with exit code ${code}.`,
      );
      reject(failure);
      for (const call of calls.values()) call.reject(failure);
      calls.clear();
      // A Worker that was ended from outside had no time to say so.
      data.words[StatusWord.Status] = ReplicaStatus.Closed;
      if (!closed) onEvent({ type: "closed", replica: data.id });
    });
  });

  const ask = <T extends ReplicaReport | Digest>(type: "report" | "digest"): Promise<T> =>
    new Promise<T>((resolve, reject) => {
      if (failure !== undefined) return reject(failure);
      const call = ++lastCall;
      calls.set(call, { resolve: (value) => resolve(value as T), reject });
      post(worker, { type, call });
    });
  return {
    address,
    report: () => ask<ReplicaReport>("report"),
    digest: () => ask<Digest>("digest"),
    async close() {
      closing = true;
      if (failure !== undefined) return;
      const ended = new Promise<void>((resolve) => worker.once("exit", () => resolve()));
      post(worker, { type: "close" });
      // A machine that never returns can't take the message.
      const deadline = setTimeout(() => void worker.terminate(), 1_000);
      await ended;
      clearTimeout(deadline);
    },
  };
}

function post(worker: Worker, message: ToWorker): void {
  worker.postMessage(message);
}

function revive({ code, message, stack }: PlainError): SquallError {
  const error = new SquallError(code, message);
  if (stack !== undefined) Object.defineProperty(error, "stack", { value: stack, configurable: true, writable: true });
  return error;
}

/** Loaders and hooks that a machine module may need pass on to the Worker; what says how to run the main program does not. */
function inheritedArguments(execArgv: readonly string[]): string[] {
  const ownValue = new Set(["-e", "--eval", "-p", "--print", "-pe"]);
  const result: string[] = [];
  for (let i = 0; i < execArgv.length; i++) {
    const argument = execArgv[i] as string;
    if (ownValue.has(argument)) i++;
    else if (!argument.startsWith("--input-type")) result.push(argument);
  }
  return result;
}
