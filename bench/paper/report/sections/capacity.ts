/** What separate machines would give: 1 / CPU time per operation of the busiest replica process. */
import type { RecordFile } from "../../record.js";
import { barChart } from "../bar-chart.js";
import { count, ratio, times } from "../format.js";
import { type Html, html } from "../html.js";
import { paperOf, paperRatio, paperThroughputOverPaxos, paperThroughputRatio } from "../paper-figures.js";
import { look } from "../protocols.js";
import { highest, medianOf, type Point, pointsOf, seriesOf } from "../results.js";
import { missing, table } from "../table.js";

export async function capacitySection(record: RecordFile): Promise<Html> {
  const points = pointsOf(record, "figure8").filter((point) => medianOf(point, "capacityOpsPerSecond") !== undefined);
  if (points.length === 0) return missing("capacity", "figure8");
  const all = [...seriesOf(points, "clients").keys()];
  const best = (side: string, packing: boolean) =>
    highest(
      points.filter((point) => point.protocol === side && point.key.packing === packing),
      "capacityOpsPerSecond",
    );
  const value = (side: string, packing: boolean) => medianOf(best(side, packing), "capacityOpsPerSecond");
  const charts = [absolute(all, value), relative(all, value)];
  return html`<p>Capacity is 1 / CPU time per operation of the busiest replica process, by the operating system’s accounting: what that replica could do on a core of its own, as on the paper’s testbed, where each replica has a machine and the busiest one is the bottleneck. It is taken at the number of clients where it is highest.</p>
${finding(value("speculative", false), value("paxos", false), value("paxos-batching", false))}
<div class="pair">${await Promise.all(charts)}</div>
${figures(all, value, best)}`;
}

type ValueOf = (side: string, packing: boolean) => number | undefined;

function absolute(all: string[], value: ValueOf) {
  return barChart({
    id: "capacity-absolute",
    title: "Capacity: packing off (full), on (pale)",
    description: all.map((side) => `${look(side).name}: ${count(value(side, false))}, with packing ${count(value(side, true))}`).join("; "),
    axis: "operations per second and core",
    rows: all.map((side) => ({ side, bars: barsOf(side, value, (number) => count(Math.round(number))) })),
  });
}

function relative(all: string[], value: ValueOf) {
  const ofPaxos: ValueOf = (side, packing) => {
    const [one, paxos] = [value(side, packing), value("paxos", false)];
    return one === undefined || paxos === undefined ? undefined : one / paxos;
  };
  return barChart({
    id: "capacity-ratio",
    title: "Relative to Paxos with packing off",
    description: all
      .map((side) => `${look(side).name}: ${times(ofPaxos(side, false))}, with packing ${times(ofPaxos(side, true))}`)
      .join("; "),
    axis: "times that of Paxos",
    rows: all.map((side) => {
      const mark = paperThroughputOverPaxos(side);
      return {
        side,
        bars: barsOf(side, ofPaxos, times),
        ...(mark === undefined || side === "paxos" ? {} : { paper: { value: mark, text: `paper ~${mark.toFixed(1)}` } }),
      };
    }),
  });
}

function barsOf(side: string, value: ValueOf, text: (value: number) => string) {
  return [false, true].flatMap((packing) => {
    const one = value(side, packing);
    return one === undefined ? [] : [{ value: one, text: text(one), faint: packing }];
  });
}

function finding(speculative?: number, paxos?: number, batching?: number): Html | undefined {
  if (speculative === undefined || paxos === undefined) return undefined;
  return html`<p class="finding">With packing off Speculative Paxos has ${times(speculative / paxos)} times the capacity of Paxos${batching !== undefined && html` and ${times(speculative / batching)} times that of Paxos with batching`}. The paper finds ${paperThroughputRatio} times the throughput of Paxos, and as much as with batching.</p>`;
}

function figures(all: string[], value: ValueOf, best: (side: string, packing: boolean) => Point | undefined): Html {
  const rows = all.map((side) => [
    look(side).name,
    ...[false, true].flatMap((packing) => [
      count(value(side, packing)),
      count(best(side, packing)?.key.clients),
      ratio(value(side, packing), value("paxos", packing)),
      ratio(value(side, packing), value("paxos-batching", packing)),
    ]),
    paperOf(side)?.opsPerSecond === undefined ? undefined : `~${count(paperOf(side)!.opsPerSecond)}`,
    paperRatio(side),
  ]);
  const half = (name: string) => [{ head: name, unit: "op/s" }, { head: "clients" }, { head: "/ Paxos’s" }, { head: "/ batching’s" }];
  return table(
    "Capacity, beside the throughput of the paper’s testbed",
    [
      { head: "Protocol", kind: "text" },
      ...half("packing off"),
      ...half("packing on"),
      { head: "paper", unit: "op/s", paper: true },
      { head: "/ Paxos’s", paper: true },
    ],
    rows,
  );
}
