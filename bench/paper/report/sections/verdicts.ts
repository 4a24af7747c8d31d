/** What must come out, as a table. */
import type { RecordFile } from "../../record.js";
import { times } from "../format.js";
import { type Html, html } from "../html.js";
import { table } from "../table.js";
import { type Verdict, verdictsOf } from "../verdicts.js";

export function verdictSection(record: RecordFile): Html {
  const verdicts = verdictsOf(record);
  const measured = verdicts.filter(({ met }) => met !== undefined);
  const met = measured.filter((verdict) => verdict.met === true);
  const rows = verdicts.map((verdict) => [
    verdict.what,
    statusOf(verdict),
    times(verdict.measured),
    verdict.wanted,
    verdict.interval === undefined ? undefined : `${times(verdict.interval.low)} – ${times(verdict.interval.high)}`,
    verdict.paper,
  ]);
  return html`${record.summary === undefined && html`<p class="missing"><strong>No summary:</strong> the suite did not come to its end; these ratios are of the runs that there are. <code class="whole">--resume</code> goes on with it.</p>`}
<p class="finding">${met.length} of ${measured.length} ratios measured are as wanted.</p>
${table(
  "Ratios of medians over the rounds; interval: 95%, of the same ratio in each round by itself, from three rounds on",
  [
    { head: "Ratio", kind: "text" },
    { head: "Outcome", kind: "text" },
    { head: "Measured" },
    { head: "Wanted", kind: "text" },
    { head: "Interval" },
    { head: "Paper", kind: "text", paper: true },
  ],
  rows,
)}`;
}

function statusOf({ met }: Verdict): Html {
  if (met === undefined) return html`<span class="status">not measured</span>`;
  return met ? html`<span class="status met">✓ met</span>` : html`<span class="status unmet">✗ not met</span>`;
}
