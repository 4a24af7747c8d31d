import { keyText } from "../record.js";
import { type ComparedResults, type Comparison, metrics } from "./compare.js";
import { leastRounds } from "./interval.js";

const columns = [34, 17, 11, 11, 8, 17];

/** For people: a table for each experiment, and what to make of it. */
export function printComparison({ comparisons, differences, onlyInA, onlyInB }: ComparedResults): void {
  for (const difference of differences) console.log(`differs in ${difference}`);
  if (onlyInA + onlyInB > 0) console.log(`not compared: ${onlyInA} points that only a has, ${onlyInB} that only b has`);
  for (const experiment of new Set(comparisons.map((comparison) => comparison.experiment))) {
    console.log(`\n${experiment}`);
    console.log(line("", "", "a", "b", "b / a", "95% interval"));
    let last = "";
    for (const comparison of comparisons.filter((each) => each.experiment === experiment)) {
      const key = keyText(comparison.key);
      console.log(row(comparison, key === last ? "" : key));
      last = key;
    }
  }
  console.log(`\n${conclusion(comparisons)}`);
}

function row({ metric, a, b, interval, verdict, rounds }: Comparison, key: string): string {
  const title = metrics.find(({ name }) => name === metric)!.title;
  const claim =
    interval === undefined
      ? ["", `too few rounds (${Math.min(...rounds)})`]
      : [interval.ratio.toFixed(3), `${interval.low.toFixed(3)} - ${interval.high.toFixed(3)}`];
  return `${line(key, title, figure(a), figure(b), ...claim)}${verdict === undefined ? "" : `  ${verdict}`}`;
}

function line(...texts: string[]): string {
  return texts.map((text, index) => (index < 2 ? text.padEnd(columns[index]!) : text.padStart(columns[index]!))).join(" ");
}

function figure(value: number): string {
  return value >= 1000 ? Math.round(value).toLocaleString("en") : value.toPrecision(4);
}

/** What was found, and how much of it may be chance. */
function conclusion(comparisons: readonly Comparison[]): string {
  const claimed = comparisons.filter(({ interval }) => interval !== undefined);
  const count = (verdict: Comparison["verdict"]) => claimed.filter((each) => each.verdict === verdict).length;
  if (claimed.length === 0) return `No ratio is claimed: that takes ${leastRounds} rounds of both at least.`;
  const paired = claimed.filter((each) => each.paired).length;
  const how =
    paired === claimed.length
      ? "paired by rounds, which were measured by turns (t interval of log ratios)"
      : paired === 0
        ? "not paired: the two were not measured by turns, so that a drift of the machine between them counts as a difference (Welch's interval of logarithms)"
        : `${paired} paired by rounds, the others not`;
  return [
    `${claimed.length} ratios, ${how}.`,
    `b is better in ${count("better")}, worse in ${count("worse")}; in ${count(undefined)} the interval holds 1.`,
    `By chance alone about ${Math.max(1, Math.round(claimed.length * 0.05))} of ${claimed.length} intervals would exclude 1.`,
  ].join("\n");
}
