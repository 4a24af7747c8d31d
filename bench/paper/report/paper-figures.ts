/** What the paper reports: "Designing Distributed Systems Using Approximate Synchrony in Data Center Networks", NSDI 2015. */
import type { ProtocolName } from "../record.js";

export interface PaperFigures {
  /** Section 4.5.1: at low to medium request rates. */
  latencyUs?: number;
  /** Section 4.5.1: the throughput sustained. */
  opsPerSecond?: number;
  /** Table 1; for Paxos with batching the least, since its batches wait. */
  messageDelays?: number;
  messageDelaysText?: string;
  /** Table 1: messages at the bottleneck replica and in all, of n replicas, batches of one, synchronizations apart. */
  messagesAtBottleneck?: (n: number) => number;
  messages?: (n: number) => number;
  messagesAtBottleneckText?: string;
  messagesText?: string;
}

export const paper: Record<ProtocolName, PaperFigures> = {
  unreplicated: {},
  paxos: {
    latencyUs: 220,
    opsPerSecond: 38_000,
    messageDelays: 4,
    messageDelaysText: "4",
    messagesAtBottleneck: (n) => 2 * n,
    messages: (n) => 2 * n,
    messagesAtBottleneckText: "2n",
    messagesText: "2n",
  },
  "paxos-batching": {
    opsPerSecond: 100_000,
    messageDelays: 4,
    messageDelaysText: "4+",
    messagesAtBottleneck: (n) => 2 + 2 * n,
    messages: (n) => 2 + 2 * n,
    messagesAtBottleneckText: "2 + 2n/b",
    messagesText: "2 + 2n/b",
  },
  "fast-paxos": {
    latencyUs: 171,
    opsPerSecond: 38_000,
    messageDelays: 3,
    messageDelaysText: "3",
    messagesAtBottleneck: (n) => 2 * n,
    messages: (n) => 2 * n,
    messagesAtBottleneckText: "2n",
    messagesText: "2n",
  },
  speculative: {
    latencyUs: 135,
    opsPerSecond: 100_000,
    messageDelays: 2,
    messageDelaysText: "2",
    messagesAtBottleneck: () => 2,
    messages: (n) => 2 * n,
    messagesAtBottleneckText: "2 + 2n/s",
    messagesText: "2n + 2n/s",
  },
};

/** Undefined for what is not one of the paper's protocols. */
export function paperOf(side: string): PaperFigures | undefined {
  return Object.hasOwn(paper, side) ? paper[side as ProtocolName] : undefined;
}

/** Of its approximate throughputs. */
export function paperThroughputOverPaxos(side: string): number | undefined {
  const said = paperOf(side)?.opsPerSecond;
  return said === undefined ? undefined : said / paper.paxos.opsPerSecond!;
}

export function paperRatio(side: string): string | undefined {
  const ratio = paperThroughputOverPaxos(side);
  return ratio === undefined ? undefined : `~${ratio.toFixed(1)}`;
}

/** Section 4.5.1: how many times higher the latency of Paxos with batching is at 90,000 requests per second. */
export const paperBatchingLatencyRatio = 3.5;
/** Section 4.5.2 (Figure 9): rate of reordering up to which Speculative Paxos has the higher throughput. */
export const paperReorderCrossing = 0.001;
/** Section 1: throughput of Speculative Paxos over that of leader-based Paxos; Section 4.5.2 with 20 clients: 3. */
export const paperThroughputRatio = 2.6;
export const paperReorderFactor = 3;

export const paperCitation =
  "D. R. K. Ports, J. Li, V. Liu, N. K. Sharma, A. Krishnamurthy: Designing Distributed Systems Using Approximate Synchrony in Data Center Networks. NSDI 2015.";
