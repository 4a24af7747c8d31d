/** The paper's Figure 9: throughput against the rate of reordering at the receivers. */
import type { RecordFile } from "../../record.js";
import { count, percent } from "../format.js";
import { type Html, html } from "../html.js";
import { lineChart } from "../line-chart.js";
import { paperReorderCrossing, paperReorderFactor } from "../paper-figures.js";
import { look } from "../protocols.js";
import { linesOf, medianOf, type Point, pointsOf } from "../results.js";
import { missing, table } from "../table.js";

export async function figure9Section(record: RecordFile): Promise<Html> {
  const points = pointsOf(record, "figure9").filter((point) => point.key.reorderedPpm !== undefined);
  if (points.length === 0) return missing("throughput under reordering (Figure 9)", "figure9");
  const rates = [...new Set(points.map((point) => point.key.reorderedPpm!))].sort((a, b) => a - b);
  const sides = [...new Set(points.map((point) => point.protocol))];
  const at = (side: string, rate: number) => points.find((point) => point.protocol === side && point.key.reorderedPpm === rate);
  const chart = lineChart({
    id: "figure9",
    title: "Throughput under reordering",
    description: `Throughput of each protocol at these rates of reordering: ${rates.map(nameOf).join(", ")}.`,
    x: { title: "requests reordered at each replica", scale: "linear", categories: rates.map((value) => ({ value, text: nameOf(value) })) },
    y: { title: "operations per second", scale: "linear" },
    lines: linesOf(points, "reorderedPpm", "opsPerSecond"),
  });
  const figures = table(
    "Operations per second at each rate of reordering; medians over the rounds",
    [{ head: "Protocol", kind: "text" }, ...rates.map((rate) => ({ head: nameOf(rate) }))],
    sides.map((side) => [look(side).name, ...rates.map((rate) => count(medianOf(at(side, rate), "opsPerSecond")))]),
  );
  return html`<p>Each replica holds a part of the requests back until others have passed them, with a seed of its own. The rates are steps, not to scale.</p>
${finding(rates, at)}
<div class="pair">${await chart}<div class="beside"><h3>In the paper</h3>
<p>With 20 clients and three replicas Speculative Paxos has ${paperReorderFactor} times the throughput of Paxos and Fast Paxos where reordering is rare, and stays ahead of Paxos until ${percent(paperReorderCrossing)} are reordered. Paxos hardly changes; Fast Paxos drops slightly, since its leader resolves conflicts.</p></div></div>
${figures}`;
}

function finding(rates: readonly number[], at: (side: string, rate: number) => Point | undefined): Html | undefined {
  const compared = rates.flatMap((rate) => {
    const [speculative, paxos] = ["speculative", "paxos"].map((side) => medianOf(at(side, rate), "opsPerSecond"));
    return speculative === undefined || paxos === undefined ? [] : [{ rate, ahead: speculative >= paxos }];
  });
  if (compared.length === 0) return undefined;
  const ahead = compared.filter((each) => each.ahead).map(({ rate }) => nameOf(rate));
  return html`<p class="finding">Speculative Paxos has at least the throughput of Paxos ${ahead.length === compared.length ? "at every rate measured" : ahead.length === 0 ? "at no rate measured" : html`at ${ahead.join(", ")} of reordering, and less at the other rates`}.</p>`;
}

function nameOf(ppm: number): string {
  return percent(ppm / 1e6);
}
