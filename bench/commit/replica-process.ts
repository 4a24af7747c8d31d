import { createReplica } from "squall";
import { leaseFabric } from "../../dist/data/fabrics.js";
import { loadBinding } from "../../dist/data/load.js";
import { answerCalls } from "../children.js";
import { collect, heap } from "../heap.js";
import { usage } from "../usage.js";
import type { Reordering, ReplicaStart } from "./calls.js";

answerCalls({
  /** The machine is an ordinary module loaded by path; the replica runs on this process's main thread. */
  async start({ cluster, id, machine, wait = "block" }: ReplicaStart) {
    const { default: makeMachine } = await import(machine);
    await createReplica({ cluster, id, machine: makeMachine(), thread: "main", wait });
  },
  /** The replica's own endpoint is on the fabric that all engines of this thread share. */
  reorder(reordering: Reordering) {
    const lease = leaseFabric(loadBinding());
    const error = lease.fabric.setReordering(reordering);
    lease.release();
    if (error !== 0) throw new Error(`no reordering: error ${error}`);
  },
  heap,
  usage,
  collect,
});
