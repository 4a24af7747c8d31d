/** Two results side by side: for each point that both have, how many times b's figures are a's, and whether that is more than noise. */
import { type ExperimentName, type Header, keyText, type RecordFile, type Run, type RunKey, type RunValues } from "../record.js";
import { pairedRatio, type RatioInterval, unpairedRatio } from "./interval.js";

/** The figures compared, and whether more is better. */
export const metrics = [
  { name: "opsPerSecond", title: "throughput, op/s", moreIsBetter: true },
  { name: "p50Us", title: "p50, us", moreIsBetter: false },
  { name: "p99Us", title: "p99, us", moreIsBetter: false },
  { name: "cpuUsPerOp", title: "CPU, us/op", moreIsBetter: false },
  { name: "capacityOpsPerSecond", title: "capacity, op/s", moreIsBetter: true },
] as const satisfies { name: keyof RunValues; title: string; moreIsBetter: boolean }[];
export type Metric = (typeof metrics)[number]["name"];

export interface Comparison {
  experiment: ExperimentName;
  key: RunKey;
  metric: Metric;
  /** Geometric means over the rounds. */
  a: number;
  b: number;
  rounds: [a: number, b: number];
  /** Whether rounds were compared one by one, since they were measured by turns. */
  paired: boolean;
  /** b / a; undefined where there are too few rounds to claim a ratio. */
  interval: RatioInterval | undefined;
  /** Only where the interval excludes 1. */
  verdict: "better" | "worse" | undefined;
}

export interface ComparedResults {
  comparisons: Comparison[];
  /** What differs between the two beside what was measured. */
  differences: string[];
  /** Points that one of them lacks. */
  onlyInA: number;
  onlyInB: number;
}

/** Throws where the machines differ, unless that is wanted, and where replicas ended with different digests. */
export function compareResults(a: RecordFile, b: RecordFile, differentMachines = false): ComparedResults {
  const machines = machineDifference(a.header, b.header);
  if (machines !== undefined && !differentMachines)
    throw new Error(
      `The results are of different machines (${machines}): their ratios say nothing about Squall. To compare all the same: --different-machines.`,
    );
  for (const [name, { runs }] of [
    ["first", a],
    ["second", b],
  ] as const)
    if (runs.some((run) => !run.digestsAgree || (run.wrong?.length ?? 0) > 0))
      throw new Error(`The ${name} result has runs that were wrong, or whose replicas ended with different digests: it must not be used.`);

  const [ofA, ofB] = [byPoint(a), byPoint(b)];
  const comparisons = [...ofA].flatMap(([point, runs]) => {
    const others = ofB.get(point);
    return others === undefined ? [] : metrics.flatMap((metric) => compareMetric(metric, runs, others) ?? []);
  });
  return {
    comparisons,
    differences: [...(machines === undefined ? [] : [`machine: ${machines}`]), ...headerDifferences(a.header, b.header)],
    onlyInA: [...ofA.keys()].filter((point) => !ofB.has(point)).length,
    onlyInB: [...ofB.keys()].filter((point) => !ofA.has(point)).length,
  };
}

function compareMetric(metric: (typeof metrics)[number], a: readonly Run[], b: readonly Run[]): Comparison | undefined {
  const [ofA, ofB] = [a, b].map((runs) => runs.filter((run) => (run.values[metric.name] ?? 0) > 0)) as [Run[], Run[]];
  if (ofA.length === 0 || ofB.length === 0) return undefined;
  const [valuesA, valuesB] = [ofA, ofB].map((runs) => runs.map((run) => run.values[metric.name]!)) as [number[], number[]];
  const paired = interleaved(ofA, ofB);
  const interval = paired ? pairedRatio(valuesA, valuesB) : unpairedRatio(valuesA, valuesB);
  return {
    experiment: a[0]!.experiment,
    key: a[0]!.key,
    metric: metric.name,
    a: geometricMean(valuesA),
    b: geometricMean(valuesB),
    rounds: [valuesA.length, valuesB.length],
    paired,
    interval,
    verdict: verdictOf(interval, metric.moreIsBetter),
  };
}

function verdictOf(interval: RatioInterval | undefined, moreIsBetter: boolean): Comparison["verdict"] {
  if (interval === undefined || (interval.low <= 1 && interval.high >= 1)) return undefined;
  return interval.ratio > 1 === moreIsBetter ? "better" : "worse";
}

/** Whether both have the same rounds, and each round of both was over before the next of either began: seen by the times they began. */
export function interleaved(a: readonly Run[], b: readonly Run[]): boolean {
  if (a.length !== b.length || a.length < 2 || a.some((run, index) => run.round !== b[index]!.round)) return false;
  const starts = a.map((run, index) => [run, b[index]!].map(({ startedAt }) => Date.parse(startedAt)) as [number, number]);
  return starts.every((own, index) => own.every(Number.isFinite) && (index === 0 || Math.min(...own) > Math.max(...starts[index - 1]!)));
}

function byPoint({ runs }: RecordFile): Map<string, Run[]> {
  const points = new Map<string, Run[]>();
  for (const run of runs) {
    const point = `${run.experiment} ${keyText(run.key)}`;
    points.set(point, [...(points.get(point) ?? []), run]);
  }
  for (const own of points.values()) own.sort((x, y) => x.round - y.round);
  return points;
}

function machineDifference({ machine: a }: Header, { machine: b }: Header): string | undefined {
  if (a.fingerprint === b.fingerprint) return undefined;
  const names = ["cpu", "cores", "memoryGiB", "kernel", "architecture"] as const;
  const unlike = names.filter((name) => a[name] !== b[name]).map((name) => `${name} ${a[name]} and ${b[name]}`);
  return unlike.length > 0 ? unlike.join("; ") : `fingerprints ${a.fingerprint} and ${b.fingerprint}`;
}

function headerDifferences(a: Header, b: Header): string[] {
  const facts: [string, (header: Header) => string][] = [
    ["Squall", (header) => header.squall],
    ["Node.js", (header) => header.machine.node],
    ["length", (header) => header.length],
    ["seed", (header) => String(header.seed)],
    ["experiments", (header) => header.plan.join(" ")],
    ["protocols", (header) => (header.protocols ?? []).join(" ")],
  ];
  return facts.filter(([, of]) => of(a) !== of(b)).map(([name, of]) => `${name}: ${of(a)} and ${of(b)}`);
}

function geometricMean(values: readonly number[]): number {
  return Math.exp(values.reduce((sum, value) => sum + Math.log(value), 0) / values.length);
}
