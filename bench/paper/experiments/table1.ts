import { loadBinding } from "../../../dist/data/load.js";
import { countMessages } from "../../../dist/sim/message-count.js";
import type { RunOutcome } from "../deployment.js";
import type { Experiment, Stage } from "../experiment.js";
import { replicated } from "../experiment.js";
import type { Lengths } from "../lengths.js";
import type { ProtocolName, RunKey, RunValues } from "../record.js";
import type { Traffic } from "../traffic.js";

const idleSeconds = 1;
const shortestSeconds = 0.5;

/** Datagrams and bytes of an operation, counted by the replicas' sockets with one operation outstanding; message delays by the simulator. */
export const table1: Experiment = {
  name: "table1",
  description: "datagrams and bytes of an operation, counted at one outstanding with packing off; message delays from the simulator",
  stages: (lengths, protocols) => [
    ...(protocols.includes("unreplicated") ? [stage(lengths, ["unreplicated"], 1)] : []),
    ...lengths.table1Replicas.map((replicas) => stage(lengths, replicated(protocols), replicas)),
  ],
};

function stage(lengths: Lengths, protocols: readonly ProtocolName[], replicas: number): Stage {
  return {
    rounds: 1,
    secondsPerRun: Math.max(shortestSeconds, lengths.secondsPerRun) + idleSeconds,
    points: [protocols.map((protocol) => ({ protocol, replicas }))],
    async run(context, key) {
      const protocol = key.protocol as ProtocolName;
      const deployment = await context.deployment({ protocol, replicas, packing: false, rare: true, design: "multicast" });
      const idle = await deployment.idle(idleSeconds);
      const outcome = await deployment.closed({ clients: 1, seconds: Math.max(shortestSeconds, context.lengths.secondsPerRun) });
      const { delays } = countMessages({ binding: loadBinding(), protocol, replicas });
      return { ...outcome, values: { ...outcome.values, messageDelays: delays, ...counts(outcome, idle, key) } };
    },
  };
}

/** Without what the replicas send when nobody asks them: SYNC, heartbeats, the answer to the one who counts. */
function counts({ values, traffic }: RunOutcome, idle: readonly Traffic[], { protocol, replicas }: RunKey): RunValues {
  const operations = values.operations!;
  const perOp = (pick: (traffic: Traffic) => number) =>
    traffic!.map((its, id) => (pick(its) - (pick(idle[id]!) * its.seconds) / idle[id]!.seconds) / operations);
  const sent = perOp((its) => its.datagramsSent);
  const datagrams = perOp((its) => its.datagramsSent + its.datagramsReceived);
  const bytes = perOp((its) => its.bytesSent + its.bytesReceived);
  const sum = (parts: readonly number[]) => parts.reduce((total, part) => total + part, 0);
  // A message between replicas is counted where it is sent, a request where it arrives: at the leader alone, or at all.
  const requests = protocol.startsWith("paxos") ? 1 : replicas!;
  return {
    datagramsPerOp: sum(sent) + requests,
    datagramsAtBottleneckPerOp: Math.max(...datagrams),
    bytesPerOp: sum(bytes),
    bytesAtBottleneckPerOp: Math.max(...bytes),
  };
}
