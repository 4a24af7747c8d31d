/** What must come out of the suite, and whether it did. */
import { pairedRatio, type RatioInterval } from "../compare/interval.js";
import type { RecordFile, Summary } from "../record.js";
import { summarize } from "../summary.js";

export interface Verdict {
  what: string;
  /** As a text of the wanted value. */
  wanted: string;
  /** The paper's value of the same ratio. */
  paper?: string;
  measured: number | undefined;
  /** Of the same ratio in each round by itself, where there are enough. */
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
}

const requirements: Requirement[] = [
  {
    field: "latencyVsPaxos",
    what: "Latency at one client: Speculative Paxos / Paxos",
    limit: 0.65,
    side: "at most",
    paper: "0.61 (135 / 220 µs)",
  },
  {
    field: "latencyVsFastPaxos",
    what: "Latency at one client: Speculative Paxos / Fast Paxos",
    limit: 0.85,
    side: "at most",
    paper: "0.79 (135 / 171 µs)",
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
  },
  {
    field: "latencyVsFloor",
    what: "Latency at one client: Speculative Paxos / C floor of one round trip",
    limit: 1.3,
    side: "at most",
  },
];

/** Of what there is: a result that is not complete has no summary of its own. */
export function verdictsOf(record: RecordFile): Verdict[] {
  const summary = record.summary ?? summarize(record.runs);
  const rounds = [...new Set(record.runs.map((run) => run.round))].map((round) =>
    summarize(record.runs.filter((run) => run.round === round)),
  );
  return requirements.map(({ field, what, limit, side, text, paper }) => {
    const measured = summary[field];
    const ratios = rounds.map((round) => round[field]).filter((ratio) => ratio !== undefined);
    const interval = pairedRatio(
      ratios.map(() => 1),
      ratios,
    );
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
