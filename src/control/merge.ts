/**
 * The merge of a reconciliation (section 4.2.3 of the paper, and docs/protocols.md): which log a new view starts with. Pure; the
 * result does not depend on the order in which logs arrived.
 */
import { Mode } from "../data/binding.js";
import { orderOperations } from "./operation-order.js";
import { tolerated } from "./quorums.js";

export interface MergeRow {
  /** The entry's summary hash: it names the entry and everything before it. */
  readonly key: string;
  /** Session and request number: names the operation. */
  readonly operation: string;
}

/** One replica's log above the common base: `rows[i]` is the entry at base + 1 + i. */
export interface MergeLog<Row extends MergeRow> {
  readonly replica: number;
  /** The last view in which the replica was NORMAL. */
  readonly lastNormalView: number;
  /** Mode of that view. */
  readonly mode: number;
  readonly committed: number;
  /** Of a FAST view: up to here the log is the view's leader's. Else at most `committed`. */
  readonly accepted: number;
  readonly rows: readonly Row[];
}

export interface MergeResult<Row extends MergeRow> {
  /** Entries at base + 1, ... that keep their position and summary hash. */
  readonly kept: Row[];
  /** Operations appended behind them, in order; their summary hashes are new. */
  readonly appended: Row[];
  /** Replicas whose logs had the highest last normal view. */
  readonly highest: number[];
}

/** Rules that only a test build switches off. */
export interface MergeRules {
  n: number;
  /** The merge follows the mode of v_l; else that of the new view. */
  followLastMode: boolean;
  /** Only the logs with the highest v_l are merged. */
  highestViews: boolean;
  /** Start with the longest committed prefix; of FAST views, the longest accepted one. */
  committedPrefix: boolean;
  /** floor(k/2)+1 of K; else a majority of all the logs received, or the constant ceil(f/2)+1. */
  threshold: "majorityOfHighest" | "majorityOfAll" | "constant";
  /**
   * Order of the appended operations. The protocol leaves it open and "position" disturbs least; it also keeps in place what all of
   * K agree on, and so would hide that another rule is missing: test builds that switch one off append by "identity".
   */
  order: "position" | "identity";
}

export function mergeRules(n: number): MergeRules {
  return {
    n,
    followLastMode: true,
    highestViews: true,
    committedPrefix: true,
    threshold: "majorityOfHighest",
    order: "position",
  };
}

function thresholdOf(rules: MergeRules, highest: number, all: number): number {
  if (rules.threshold === "majorityOfAll") return Math.floor(all / 2) + 1;
  if (rules.threshold === "constant") return Math.ceil(tolerated(rules.n) / 2) + 1;
  return Math.floor(highest / 2) + 1;
}

/** K: the logs of the highest last normal view, by replica. Their mode is that view's. */
export function highestLogs<Log extends MergeLog<MergeRow>>(logs: readonly Log[], rules: MergeRules): Log[] {
  const sorted = [...logs].sort((a, b) => a.replica - b.replica);
  const lastView = Math.max(...sorted.map((log) => log.lastNormalView));
  return rules.highestViews ? sorted.filter((log) => log.lastNormalView === lastView) : sorted;
}

/** `base` is the seqno below the first row of every log, and at most the committed seqno of each. `newMode`: that of the new view. */
export function merge<Row extends MergeRow>(
  base: number,
  logs: readonly MergeLog<Row>[],
  rules: MergeRules,
  newMode: number = Mode.Speculative,
): MergeResult<Row> {
  const highest = highestLogs(logs, rules);
  const replicas = highest.map((log) => log.replica);
  const mode = rules.followLastMode ? highest[0]?.mode : newMode;

  if (mode === Mode.Leader) {
    const longest = highest.reduce((best, log) => (log.rows.length > best.rows.length ? log : best));
    return { kept: [...longest.rows], appended: [], highest: replicas };
  }

  const threshold = thresholdOf(rules, highest.length, logs.length);
  const kept: Row[] = [];
  if (rules.committedPrefix) {
    // Accepted prefixes are prefixes of one log, that of the FAST view's leader, and hold what was committed in it.
    const settled = (log: MergeLog<Row>): number => (mode === Mode.Fast ? log.accepted : log.committed);
    const ahead = highest.reduce((best, log) => (settled(log) > settled(best) ? log : best), highest[0] as MergeLog<Row>);
    kept.push(...ahead.rows.slice(0, Math.max(0, settled(ahead) - base)));
  }
  // What one log alone has accepted need not be what the others stand on: theirs has no place then.
  const last = kept.at(-1)?.key;
  const agreeing = mode === Mode.Fast && last ? highest.filter((log) => log.rows[kept.length - 1]?.key === last) : highest;
  for (;;) {
    const next = sharedRow(agreeing, kept.length, threshold);
    if (!next) break;
    kept.push(next);
  }
  const keptOperations = new Set(kept.map((row) => row.operation));
  const appended = orderOperations(highest, keptOperations);
  if (rules.order === "identity") appended.sort((a, b) => (a.operation < b.operation ? -1 : 1));
  return { kept, appended, highest: replicas };
}

/** The entry at this index that at least `threshold` of the logs share. */
function sharedRow<Row extends MergeRow>(logs: readonly MergeLog<Row>[], index: number, threshold: number): Row | undefined {
  const counts = new Map<string, number>();
  for (const log of logs) {
    const row = log.rows[index];
    if (!row) continue;
    const count = (counts.get(row.key) ?? 0) + 1;
    if (count >= threshold) return row;
    counts.set(row.key, count);
  }
  return undefined;
}
