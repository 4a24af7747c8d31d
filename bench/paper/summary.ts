import { median, round } from "../statistics.js";
import type { ExperimentName, ProtocolName, Run, RunKey, Summary } from "./record.js";

/** The part of its highest throughput at which a protocol's latency is compared. */
const partOfPeak = 0.9;

export function summarize(runs: readonly Run[]): Summary {
  const of = (experiment: ExperimentName, key: Partial<RunKey>) =>
    runs.filter(
      (run) => run.experiment === experiment && Object.entries(key).every(([name, value]) => run.key[name as keyof RunKey] === value),
    );
  const p50 = (protocol: RunKey["protocol"]) => median(of("latency", { protocol }).map((run) => run.values.p50Us ?? Number.NaN));
  const capacity = (protocol: ProtocolName, packing: boolean) => highest(of("figure8", { protocol, packing }), "capacityOpsPerSecond");
  const at90 = (protocol: ProtocolName) => p50AtPartOfPeak(of("figure8", { protocol, packing: false }), partOfPeak);
  const ratios = {
    latencyVsPaxos: p50("speculative") / p50("paxos"),
    latencyVsFastPaxos: p50("speculative") / p50("fast-paxos"),
    paxosLatencyVsFloor: p50("paxos") / p50("floor-two-round-trips"),
    latencyVsFloor: p50("speculative") / p50("floor-one-round-trip"),
    floorLatencyRatio: p50("floor-one-round-trip") / p50("floor-two-round-trips"),
    capacityVsPaxos: capacity("speculative", false) / capacity("paxos", false),
    capacityVsBatching: capacity("speculative", false) / capacity("paxos-batching", false),
    packedCapacityVsBatching: capacity("speculative", true) / capacity("paxos-batching", true),
    latencyVsBatchingAt90: at90("speculative") / at90("paxos-batching"),
  };
  const known = Object.entries(ratios).filter(([, value]) => Number.isFinite(value));
  return {
    kind: "summary",
    ...Object.fromEntries(known.map(([name, value]) => [name, round(value, 3)])),
    digestsAgree: runs.every((run) => run.digestsAgree),
    runs: runs.length,
    failed: runs.reduce((sum, run) => sum + (run.values.failed ?? 0), 0),
  };
}

interface Point {
  clients: number;
  opsPerSecond: number;
  p50Us: number;
}

/** Medians over the rounds for each number of clients. */
export function curveOf(runs: readonly Run[]): Point[] {
  const counts = [...new Set(runs.map((run) => run.key.clients!))].sort((a, b) => a - b);
  return counts.map((clients) => {
    const its = runs.filter((run) => run.key.clients === clients);
    const middle = (name: "opsPerSecond" | "p50Us") => median(its.map((run) => run.values[name] ?? Number.NaN));
    return { clients, opsPerSecond: middle("opsPerSecond"), p50Us: middle("p50Us") };
  });
}

/** The highest over the numbers of clients of the median over the rounds; NaN of nothing. */
function highest(runs: readonly Run[], name: "capacityOpsPerSecond"): number {
  const counts = [...new Set(runs.map((run) => run.key.clients))];
  if (counts.length === 0) return Number.NaN;
  return Math.max(...counts.map((clients) => median(runs.filter((run) => run.key.clients === clients).map((run) => run.values[name]!))));
}

/**
 * Median latency where throughput first reaches a part of its highest, as clients are added: on the straight line between the last
 * number of clients below it and the first one above.
 */
export function p50AtPartOfPeak(runs: readonly Run[], part: number): number {
  const curve = curveOf(runs);
  const wanted = part * Math.max(...curve.map((point) => point.opsPerSecond));
  const index = curve.findIndex((point) => point.opsPerSecond >= wanted);
  if (index < 0) return Number.NaN;
  const above = curve[index]!;
  const below = curve[index - 1];
  if (below === undefined) return above.p50Us;
  const share = (wanted - below.opsPerSecond) / (above.opsPerSecond - below.opsPerSecond);
  return below.p50Us + share * (above.p50Us - below.p50Us);
}
