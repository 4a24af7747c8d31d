import type { Experiment, Stage } from "../experiment.js";
import { pointsOf } from "../experiment.js";
import type { Lengths } from "../lengths.js";
import type { ProtocolName } from "../record.js";

/** Closed-loop clients, each a session with one operation outstanding, spread over the same client processes for every protocol. */
export const figure8: Experiment = {
  name: "figure8",
  description: "latency against throughput for 2 to 300 closed-loop clients, and capacity, with packing off and on",
  stages: (lengths, protocols) => [stage(lengths, protocols, true), stage(lengths, protocols, false)],
};

function stage(lengths: Lengths, protocols: readonly ProtocolName[], packing: boolean): Stage {
  return {
    rounds: lengths.rounds,
    secondsPerRun: lengths.secondsPerRun,
    points: pointsOf(protocols, "clients", lengths.clients).map((sides) => sides.map((key) => ({ ...key, packing }))),
    async run(context, { protocol, clients }) {
      const deployment = await context.deployment({ protocol: protocol as ProtocolName, packing });
      return deployment.closed({ clients: clients!, seconds: context.lengths.secondsPerRun });
    },
  };
}
