import type { Experiment } from "../experiment.js";
import type { ProtocolName, RunKey } from "../record.js";

/** Closed-loop runs that say what 100% is. */
const referenceClients = 4;
const referenceWindow = 32;

/** Operations come when they come: latency counts from the scheduled time. */
export const openLoop: Experiment = {
  name: "open-loop",
  description: "latency against offered load, from scheduled times, as parts of the closed loop's throughput in the same round",
  stages: (lengths, protocols) => [
    {
      rounds: lengths.rounds,
      secondsPerRun: lengths.secondsPerRun,
      points: [
        protocols.map((protocol): RunKey => ({ protocol })),
        ...lengths.offered.map((offered) => protocols.map((protocol): RunKey => ({ protocol, offered }))),
      ],
      async run(context, { protocol, offered }, round) {
        const seconds = context.lengths.secondsPerRun;
        const deployment = await context.deployment({ protocol: protocol as ProtocolName });
        if (offered === undefined) return deployment.closed({ clients: referenceClients, window: referenceWindow, seconds });
        const reference = context.recorded("open-loop", { protocol }, round)!;
        const seed = context.seed * 1_000 + round * 100 + Math.round(offered * 10);
        const targetOpsPerSecond = Math.round(reference.values.opsPerSecond! * offered);
        const outcome = await deployment.open({ opsPerSecond: targetOpsPerSecond, seed, seconds });
        return { ...outcome, values: { targetOpsPerSecond, ...outcome.values } };
      },
    },
  ],
};
