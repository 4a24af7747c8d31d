import type { RunLength } from "./record.js";

/** How long the suite's runs are and how many there are: about 3, 15 and 60 minutes for all experiments on two cores. */
export interface Lengths {
  secondsPerRun: number;
  /** Runs of each side of a comparison, by turns. */
  rounds: number;
  /** Of the one-client point, whose ratios are asked for most. */
  latencyRounds: number;
  /** For compilers, once for each deployment. */
  warmupSeconds: number;
  /** Figure 9: for the adaptive mode to choose, at each rate. */
  adaptSeconds: number;
  clients: number[];
  reorderedPpm: number[];
  table1Replicas: number[];
  replicas: number[];
  bytes: number[];
  processes: number[];
  outstanding: number[];
  /** Of the highest closed-loop throughput. */
  offered: number[];
}

export const lengthsOf: Record<RunLength, Lengths> = {
  quick: {
    secondsPerRun: 0.25,
    rounds: 1,
    latencyRounds: 3,
    warmupSeconds: 0.3,
    adaptSeconds: 0.5,
    clients: [2, 16, 64, 300],
    reorderedPpm: [0, 1_000, 100_000],
    table1Replicas: [3],
    replicas: [3, 5],
    bytes: [16, 1_024, 65_536],
    processes: [1, 8],
    outstanding: [1, 32, 1_024],
    offered: [0.3, 0.9],
  },
  normal: {
    secondsPerRun: 0.6,
    rounds: 3,
    latencyRounds: 9,
    warmupSeconds: 1,
    adaptSeconds: 3,
    clients: [2, 8, 16, 32, 64, 100, 200, 300],
    reorderedPpm: [0, 10, 100, 1_000, 10_000, 100_000],
    table1Replicas: [3, 5, 7],
    replicas: [3, 5, 7],
    bytes: [16, 64, 1_024, 8_192, 65_536],
    processes: [1, 2, 4, 8],
    outstanding: [1, 8, 64, 1_024],
    offered: [0.2, 0.5, 0.7, 0.9, 1],
  },
  full: {
    secondsPerRun: 1.5,
    rounds: 5,
    latencyRounds: 15,
    warmupSeconds: 2,
    adaptSeconds: 5,
    clients: [2, 4, 8, 16, 32, 48, 64, 100, 150, 200, 300],
    reorderedPpm: [0, 10, 100, 1_000, 10_000, 100_000],
    table1Replicas: [3, 5, 7],
    replicas: [3, 5, 7],
    bytes: [16, 64, 256, 1_024, 4_096, 16_384, 65_536],
    processes: [1, 2, 4, 8],
    outstanding: [1, 4, 16, 64, 256, 1_024],
    offered: [0.1, 0.3, 0.5, 0.7, 0.8, 0.9, 1],
  },
};
