/** A replica in a Worker of its own: loads the machine's module, opens the replica, answers the starting thread. */
import { isMainThread, parentPort, workerData } from "node:worker_threads";
import type { ReplicaEvent } from "../data/events.js";
import { loadMachine } from "../data/load-machine.js";
import { type LocalReplica, openLocalReplica } from "../data/local-replica.js";
import { errorText } from "../data/machine-host.js";
import { type ErrorCode, SquallError } from "../errors.js";
import { type FromWorker, type PlainError, type ReplicaWorkerData, type ToWorker, WorkerMark } from "./protocol.js";

const data = workerData as ReplicaWorkerData | undefined;
if (!isMainThread && parentPort !== null && data?.mark === WorkerMark) await serve(parentPort, data);

async function serve(
  port: NonNullable<typeof parentPort>,
  { cluster, id, machineUrl, debug, wait, words, directory, bindingPath }: ReplicaWorkerData,
): Promise<void> {
  const tell = (message: FromWorker): void => port.postMessage(message);
  let replica: LocalReplica;
  try {
    const machine = await loadMachine(machineUrl);
    replica = await openLocalReplica({
      cluster,
      id,
      machine,
      debug,
      wait,
      words,
      directory,
      bindingPath,
      onEvent: (event) => tell({ type: "event", event: cloneable(event) }),
    });
  } catch (error) {
    tell({ type: "failed", error: plain(error, "WORKER_FAILED") });
    return;
  }
  port.on("message", (message: ToWorker) => {
    if (message.type === "close") {
      replica.close().finally(() => port.close());
      return;
    }
    const { call } = message;
    answer(message.type).then(
      (value) => tell({ type: "answer", call, value }),
      (error: unknown) => tell({ type: "refusal", call, error: plain(error, "MACHINE_THREW") }),
    );
  });
  const answer = async (question: "report" | "digest") => (question === "report" ? replica.report() : await replica.digest());
  tell({ type: "ready", address: replica.address() });
}

/** What a machine threw may not survive a message; its text always does. */
function cloneable(event: ReplicaEvent): ReplicaEvent {
  return event.type === "machine-error" ? { ...event, error: event.message } : event;
}

function plain(error: unknown, code: ErrorCode): PlainError {
  if (error instanceof SquallError) return { code: error.code, message: error.message, stack: error.stack };
  return { code, message: errorText(error), stack: error instanceof Error ? error.stack : undefined };
}
