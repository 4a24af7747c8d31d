/**
 * The results of a suite as a file of JSON lines: a header, a line for each run, a summary. A file whose last line is cut off (its
 * writer was killed) is read up to that line.
 */
import { appendFileSync, closeSync, mkdirSync, openSync, readFileSync, truncateSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";

/** Of the file's format: another number is refused. */
export const recordFormat = 1;

export const experimentNames = [
  "latency",
  "figure8",
  "figure9",
  "table1",
  "replicas",
  "sizes",
  "processes",
  "outstanding",
  "open-loop",
] as const;
export type ExperimentName = (typeof experimentNames)[number];

export const protocolNames = ["unreplicated", "paxos", "paxos-batching", "fast-paxos", "speculative"] as const;
export type ProtocolName = (typeof protocolNames)[number];

/** What is measured beside the protocols: C programs of bench/floor that agree on nothing. */
export const floorNames = ["floor-one-round-trip", "floor-two-round-trips"] as const;
export type FloorName = (typeof floorNames)[number];

export type RunLength = "quick" | "normal" | "full";

export interface MachineRecord {
  cpu: string;
  cores: number;
  memoryGiB: number;
  kernel: string;
  architecture: string;
  node: string;
  /** Of all the above but Node: results with different ones are of different machines. */
  fingerprint: string;
}

export interface Header {
  kind: "header";
  format: number;
  suite: "paper";
  length: RunLength;
  seed: number;
  /** ISO 8601. */
  startedAt: string;
  /** Version of the package, then its commit where it runs from a checkout, "+" where that has changes: "0.1.0 1a2b3c4+". */
  squall: string;
  machine: MachineRecord;
  /** Experiments, in the order of the runs. */
  plan: ExperimentName[];
  protocols: ProtocolName[];
  /** How many lines of kind "run" a whole file has. */
  runs: number;
}

/** What distinguishes the runs of an experiment; only what varies in it is there. */
export interface RunKey {
  /** `speculative-leader` and `adaptive`: the modes of the protocol `speculative` in Figure 9. */
  protocol: ProtocolName | FloorName | "speculative-leader" | "adaptive";
  /** Closed-loop sessions with one operation outstanding each. */
  clients?: number;
  /** Messages of one turn share datagrams. */
  packing?: boolean;
  replicas?: number;
  /** Of an operation. */
  bytes?: number;
  /** Operations that one client process keeps outstanding. */
  outstanding?: number;
  /** Client processes. */
  processes?: number;
  /** Of a million requests, how many others pass at each replica. */
  reorderedPpm?: number;
  /** Offered load as a part of the protocol's highest closed-loop throughput. */
  offered?: number;
}

/** Figures of a run; each experiment has some of them (docs/benchmarks.md). Times in microseconds. */
export interface RunValues {
  opsPerSecond?: number;
  operations?: number;
  failed?: number;
  p50Us?: number;
  p99Us?: number;
  p999Us?: number;
  meanUs?: number;
  maxUs?: number;
  /** Operations whose first replies did not match. */
  mismatches?: number;
  reconciliations?: number;
  /** 1 / CPU time per operation of the busiest replica process. */
  capacityOpsPerSecond?: number;
  /** CPU time of all processes of the run, per operation. */
  cpuUsPerOp?: number;
  /** Open loop: the load's rate, operations scheduled, those that a full queue kept out, and the median time from schedule to issue. */
  targetOpsPerSecond?: number;
  scheduled?: number;
  notOffered?: number;
  lateP50Us?: number;
  /** Table 1: counted at one outstanding. */
  messageDelays?: number;
  datagramsPerOp?: number;
  datagramsAtBottleneckPerOp?: number;
  bytesPerOp?: number;
  bytesAtBottleneckPerOp?: number;
}

export interface ProcessRecord {
  /** "replica 0", "relay", "client 2". */
  role: string;
  /** User and system time of the operating system's accounting, over the operations of the whole run. */
  cpuUsPerOp: number;
  userUs: number;
  systemUs: number;
  contextSwitchesVoluntary: number;
  contextSwitchesInvoluntary: number;
  /** Of a replica's endpoint; of clients they are not known. Per run, payload of UDP. */
  bytesSent?: number;
  bytesReceived?: number;
  datagramsSent?: number;
  datagramsReceived?: number;
}

export interface Run {
  kind: "run";
  experiment: ExperimentName;
  key: RunKey;
  /** From 0. Runs of the compared sides with one round follow each other. */
  round: number;
  /** ISO 8601. */
  startedAt: string;
  values: RunValues;
  processes: ProcessRecord[];
  /** Latencies in nanoseconds: HdrHistogram, V2, compressed, base64. */
  histogram?: string;
  digestsAgree: boolean;
  /** What was wrong with results or replicas; missing when nothing was. Such a run fails the suite. */
  wrong?: string[];
}

/** The figures that issue a verdict on the whole; those whose experiments did not run are missing. Ratios are of medians over the rounds. */
export interface Summary {
  kind: "summary";
  /** p50 of one client: Speculative Paxos's over Paxos's, Fast Paxos's. */
  latencyVsPaxos?: number;
  latencyVsFastPaxos?: number;
  /** p50 of one client: Paxos's over that of the floor of two round trips; Speculative Paxos's over that of one. */
  paxosLatencyVsFloor?: number;
  latencyVsFloor?: number;
  /** The floor of one round trip over that of two: what this machine can show of the difference. */
  floorLatencyRatio?: number;
  /** Speculative Paxos's capacity over Paxos's without and with batching, packing off. */
  capacityVsPaxos?: number;
  capacityVsBatching?: number;
  /** The latter with packing on. */
  packedCapacityVsBatching?: number;
  /** p50 of Speculative Paxos at 90% of its highest throughput over that of batching at 90% of its own. */
  latencyVsBatchingAt90?: number;
  digestsAgree: boolean;
  /** Runs in the file. */
  runs: number;
  failed: number;
}

export interface RecordFile {
  header: Header;
  runs: Run[];
  /** The last one: a resumed suite writes another. Undefined where the suite did not come to its end. */
  summary: Summary | undefined;
}

/** Writes line by line, so that what was measured is there however the suite ends. */
export class RecordWriter {
  readonly file: string;

  private constructor(file: string) {
    this.file = file;
  }

  /** A new file; fails with EEXIST where there is one. */
  static create(file: string, header: Header): RecordWriter {
    mkdirSync(dirname(file), { recursive: true });
    closeSync(openSync(file, "wx"));
    writeFileSync(file, `${JSON.stringify(header)}\n`);
    return new RecordWriter(file);
  }

  /** Goes on with a file, behind its last whole line. */
  static append(file: string): RecordWriter {
    const bytes = readFileSync(file);
    truncateSync(file, bytes.lastIndexOf(0x0a) + 1);
    return new RecordWriter(file);
  }

  write(line: Run | Summary): void {
    appendFileSync(this.file, `${JSON.stringify(line)}\n`);
  }
}

/** Throws an Error that names the file and the line where it is not a result of this format. */
export function readRecord(file: string): RecordFile {
  const lines = readFileSync(file, "utf8").split("\n");
  lines.pop(); // empty, or cut off
  const parsed = lines.map((line, index) => {
    try {
      return JSON.parse(line) as Header | Run | Summary;
    } catch {
      throw new Error(`${file}, line ${index + 1}: not JSON; is it a result of the suite?`);
    }
  });
  const [header, ...rest] = parsed;
  if (header?.kind !== "header" || header.suite !== "paper") throw new Error(`${file}: not a result of \`npm run bench -- paper\``);
  if (header.format !== recordFormat) throw new Error(`${file}: format ${header.format}; this version reads format ${recordFormat}`);
  const unlike = rest.findIndex((line) => line.kind !== "run" && line.kind !== "summary");
  if (unlike >= 0) throw new Error(`${file}, line ${unlike + 2}: neither a run nor a summary`);
  return {
    header,
    runs: rest.filter((line) => line.kind === "run"),
    summary: rest.filter((line) => line.kind === "summary").at(-1),
  };
}

/** The same for the same key whatever the order of its fields. */
export function keyText(key: RunKey): string {
  return Object.entries(key)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, value]) => `${name}=${value}`)
    .join(" ");
}
