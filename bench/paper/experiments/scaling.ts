import type { Experiment } from "../experiment.js";
import { pointsOf, replicated } from "../experiment.js";
import type { ProtocolName } from "../record.js";

/** Of the experiments that vary something else. */
const clients = 32;
/** Operations of up to 64 KiB: fewer at a time, so that sockets hold them. */
const sizeClients = 8;
const outstandingOfProcesses = 8;

export const replicas: Experiment = {
  name: "replicas",
  description: "groups of 3, 5 and 7 replicas, 32 closed-loop clients",
  stages: (lengths, protocols) =>
    lengths.replicas.map((count) => ({
      rounds: lengths.rounds,
      secondsPerRun: lengths.secondsPerRun,
      points: pointsOf(replicated(protocols), "replicas", [count]),
      async run(context, { protocol }) {
        const deployment = await context.deployment({ protocol: protocol as ProtocolName, replicas: count });
        return deployment.closed({ clients, seconds: context.lengths.secondsPerRun });
      },
    })),
};

export const sizes: Experiment = {
  name: "sizes",
  description: "operations of 16 bytes to 64 KiB, 8 closed-loop clients",
  stages: (lengths, protocols) => [
    {
      rounds: lengths.rounds,
      secondsPerRun: lengths.secondsPerRun,
      points: pointsOf(protocols, "bytes", lengths.bytes),
      async run(context, { protocol, bytes }) {
        const deployment = await context.deployment({ protocol: protocol as ProtocolName });
        return deployment.closed({ clients: sizeClients, bytes: bytes!, seconds: context.lengths.secondsPerRun });
      },
    },
  ],
};

export const processes: Experiment = {
  name: "processes",
  description: "1 to 8 client processes, one session with 8 outstanding operations in each",
  stages: (lengths, protocols) => [
    {
      rounds: lengths.rounds,
      secondsPerRun: lengths.secondsPerRun,
      points: pointsOf(protocols, "processes", lengths.processes),
      async run(context, { protocol, processes: count }) {
        const deployment = await context.deployment({ protocol: protocol as ProtocolName });
        const options = { clients: count!, processes: count!, window: outstandingOfProcesses };
        return deployment.closed({ ...options, seconds: context.lengths.secondsPerRun });
      },
    },
  ],
};

export const outstanding: Experiment = {
  name: "outstanding",
  description: "one client process, one session with 1 to 1,024 outstanding operations",
  stages: (lengths, protocols) => [
    {
      rounds: lengths.rounds,
      secondsPerRun: lengths.secondsPerRun,
      points: pointsOf(protocols, "outstanding", lengths.outstanding),
      async run(context, { protocol, outstanding: window }) {
        const deployment = await context.deployment({ protocol: protocol as ProtocolName, design: "multicast" });
        return deployment.closed({ clients: 1, processes: 1, window: window!, seconds: context.lengths.secondsPerRun });
      },
    },
  ],
};
