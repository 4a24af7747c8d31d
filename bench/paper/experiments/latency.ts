import type { Experiment } from "../experiment.js";
import { type FloorName, floorNames, type ProtocolName, type RunKey } from "../record.js";

const isFloor = (name: RunKey["protocol"]): name is FloorName => (floorNames as readonly string[]).includes(name);

/** One client with one operation outstanding, and the floors of one and two round trips, all by turns. */
export const latency: Experiment = {
  name: "latency",
  description: "one client with one outstanding operation: latency of each protocol, and of C floors of one and two round trips",
  stages: (lengths, protocols) => [
    {
      rounds: lengths.latencyRounds,
      secondsPerRun: lengths.secondsPerRun,
      points: [[...floorNames, ...protocols].map((protocol) => ({ protocol }))],
      async run(context, { protocol }) {
        const seconds = context.lengths.secondsPerRun;
        if (!isFloor(protocol)) {
          const deployment = await context.deployment({ protocol: protocol as ProtocolName, design: "multicast" });
          return deployment.closed({ clients: 1, seconds });
        }
        const { resent: _, ...values } = await (await context.floor(protocol)).run(1, seconds);
        return { values, processes: [], digestsAgree: true, wrong: [], failures: [] };
      },
    },
  ],
};
