/** What must come out of the suite, and whether it did. */
import { pairedRatio, type RatioInterval } from "../compare/interval.js";
import type { RecordFile, Summary } from "../record.js";
import { pointsOf } from "./results.js";

export interface Verdict {
  what: string;
  /** As a text of the wanted value. */
  wanted: string;
  /** The paper's value of the same ratio. */
  paper?: string;
  measured: number | undefined;
  /** Where it can be had from the rounds of the runs of one client. */
  interval?: RatioInterval;
  met: boolean | undefined;
}

interface Requirement {
  field: Exclude<keyof Summary, "kind" | "digestsAgree" | "runs" | "failed">;
  what: string;
  limit: number;
  side: "at most" | "at least";
  text?: string;
  paper?: string;
  /** Of two sides' p50 at one client. */
  of?: [a: string, b: string];
}

const requirements: Requirement[] = [
  {
    field: "latencyVsPaxos",
    what: "Latency at one client: Speculative Paxos / Paxos",
    limit: 0.65,
    side: "at most",
    paper: "0.61 (135 / 220 µs)",
    of: ["paxos", "speculative"],
  },
  {
    field: "latencyVsFastPaxos",
    what: "Latency at one client: Speculative Paxos / Fast Paxos",
    limit: 0.85,
    side: "at most",
    paper: "0.79 (135 / 171 µs)",
    of: ["fast-paxos", "speculative"],
  },
  { field: "capacityVsPaxos", what: "Capacity, packing off: Speculative Paxos / Paxos", limit: 2.6, side: "at least", paper: "2.6" },
  {
    field: "capacityVsBatching",
    what: "Capacity, packing off: Speculative Paxos / batching",
    limit: 1,
    side: "at least",
    paper: "about 1",
  },
  { field: "packedCapacityVsBatching", what: "Capacity, packing on: Speculative Paxos / batching", limit: 1, side: "at least" },
  {
    field: "latencyVsBatchingAt90",
    what: "Latency at 90% of the peak: Speculative Paxos / batching",
    limit: 1 / 3,
    side: "at most",
    text: "1/3",
    paper: "0.29 (1 / 3.5)",
  },
  {
    field: "paxosLatencyVsFloor",
    what: "Latency at one client: Paxos / C floor of two round trips",
    limit: 1.5,
    side: "at most",
    of: ["floor-two-round-trips", "paxos"],
  },
  {
    field: "latencyVsFloor",
    what: "Latency at one client: Speculative Paxos / C floor of one round trip",
    limit: 1.3,
    side: "at most",
    of: ["floor-one-round-trip", "speculative"],
  },
];

export function verdictsOf(record: RecordFile): Verdict[] {
  return requirements.map(({ field, what, limit, side, text, paper, of }) => {
    const measured = record.summary?.[field];
    const interval = of === undefined ? undefined : intervalOf(record, ...of);
    return {
      what,
      wanted: `${side} ${text ?? limit}`,
      ...(paper === undefined ? {} : { paper }),
      measured,
      ...(interval === undefined ? {} : { interval }),
      met: measured === undefined ? undefined : side === "at most" ? measured <= limit : measured >= limit,
    };
  });
}

/** Of p50 at one client, over the rounds that both sides have: those are measured one after the other. */
function intervalOf(record: RecordFile, a: string, b: string): RatioInterval | undefined {
  const points = pointsOf(record, "latency");
  const [of, to] = [a, b].map((side) => {
    const runs = points.find((point) => point.protocol === side)?.runs ?? [];
    return new Map(runs.map((run) => [run.round, run.values.p50Us ?? Number.NaN]));
  }) as [Map<number, number>, Map<number, number>];
  const rounds = [...of.keys()].filter((round) => to.has(round));
  return pairedRatio(
    rounds.map((round) => of.get(round)!),
    rounds.map((round) => to.get(round)!),
  );
}
