/** The paper's Table 1, measured: message delays, datagrams per operation in all and at the bottleneck replica. */
import type { RecordFile } from "../../record.js";
import { count } from "../format.js";
import { type Html, html } from "../html.js";
import { paperOf } from "../paper-figures.js";
import { look } from "../protocols.js";
import { medianOf, type Point, pointsOf } from "../results.js";
import { collapsed, missing, table } from "../table.js";

export function table1Section(record: RecordFile): Html {
  const points = pointsOf(record, "table1").sort((a, b) => Number(a.key.replicas) - Number(b.key.replicas));
  if (points.length === 0) return missing("message delays and messages per operation (Table 1)", "table1");
  const rows = points.map((point) => {
    const n = point.key.replicas ?? 3;
    const said = paperOf(point.protocol);
    const formula = (text: string | undefined, value: number | undefined) =>
      text === undefined ? undefined : html`${text} <small>= ${count(value)}</small>`;
    return [
      look(point.protocol).name,
      count(n),
      count(medianOf(point, "messageDelays")),
      said?.messageDelaysText,
      count(medianOf(point, "datagramsAtBottleneckPerOp")),
      formula(said?.messagesAtBottleneckText, said?.messagesAtBottleneck?.(n)),
      count(medianOf(point, "datagramsPerOp")),
      formula(said?.messagesText, said?.messages?.(n)),
    ];
  });
  return html`<p>Counted by the replicas’ sockets, with one operation outstanding, packing off and synchronizations apart; so b = 1, and the paper’s terms in s are left out of the values. At a replica counts what it receives and what it sends; in all, each message counts once. Message delays are those of the simulator, where each message takes one unit of time.</p>
${table(
  "Messages of the protocols, measured and in the paper’s Table 1",
  [
    { head: "Protocol", kind: "text" },
    { head: "Replicas", unit: "n" },
    { head: "Message delays" },
    { head: "paper", paper: true },
    { head: "At bottleneck replica", unit: "datagrams/op" },
    { head: "paper", paper: true },
    { head: "All", unit: "datagrams/op" },
    { head: "paper", paper: true },
  ],
  rows,
)}
${collapsed("Bytes per operation", bytesTable(points))}`;
}

function bytesTable(points: readonly Point[]): Html {
  return table(
    "Payload of UDP per operation of 64 bytes, sealed; sent and received",
    [
      { head: "Protocol", kind: "text" },
      { head: "Replicas", unit: "n" },
      { head: "At bottleneck replica", unit: "bytes/op" },
      { head: "All", unit: "bytes/op" },
    ],
    points.map((point) => [
      look(point.protocol).name,
      count(point.key.replicas),
      count(medianOf(point, "bytesAtBottleneckPerOp")),
      count(medianOf(point, "bytesPerOp")),
    ]),
  );
}
