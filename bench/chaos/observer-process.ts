import { bootstrap, type Cluster, connect, loadCluster, status } from "squall";
import { answerCalls } from "../children.js";
import { converge } from "../convergence.js";
import type { ExecutionsAnswer, ObserverStart } from "./calls.js";
import { decodeExecutions, encodeExecutionsRead } from "./operations.js";

const statusDeadlineMs = 300;
const readDeadlineMs = 20_000;

let cluster: Cluster;

/** Stands where all replicas can be reached whatever the faults are, and looks from there. */
answerCalls({
  async bootstrap(options: ObserverStart) {
    cluster = await loadCluster(options.cluster, { role: "operator" });
    await bootstrap({ cluster, deadlineMs: readDeadlineMs });
  },
  status: () => status({ cluster, deadlineMs: statusDeadlineMs }),
  converge: (timeoutMs: number) => converge(cluster, timeoutMs),
  /** What became of all operations, read from the replicated state itself. */
  async executions(clients: number): Promise<ExecutionsAnswer> {
    const client = await connect({ cluster, deadlineMs: readDeadlineMs });
    const seqnos: Uint32Array[] = [];
    let twice = 0;
    for (let of = 0; of < clients; of++) {
      const parts: number[] = [];
      for (let length = 1; parts.length < length; ) {
        const part = decodeExecutions(await client.invoke(encodeExecutionsRead(of, parts.length), { deadlineMs: readDeadlineMs }));
        length = part.length;
        twice = part.twice;
        for (const seqno of part.seqnos) parts.push(seqno);
      }
      seqnos.push(Uint32Array.from(parts));
    }
    client.close();
    return { twice, seqnos };
  },
});
