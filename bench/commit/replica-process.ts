import { createReplica } from "squall";
import { answerCalls } from "../children.js";
import { collect, heap } from "../heap.js";
import type { ReplicaStart } from "./calls.js";

answerCalls({
  /** The machine is an ordinary module loaded by path; the replica runs on this process's main thread. */
  async start({ cluster, id, machine }: ReplicaStart) {
    const { default: makeMachine } = await import(machine);
    await createReplica({ cluster, id, machine: makeMachine(), thread: "main" });
  },
  heap,
  collect,
});
