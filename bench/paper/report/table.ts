/** Tables of the report. */
import { type Html, html } from "./html.js";

export interface Column {
  head: string;
  /** Below the head. */
  unit?: string;
  /** Numbers are, unless it says "text". */
  kind?: "text";
  /** The paper's own figure, set apart. */
  paper?: boolean;
}

export type Cell = string | Html | undefined;

/** The first cell of a row is its head. Where it is wider than the page, it scrolls by itself. */
export function table(caption: string, columns: readonly Column[], rows: readonly (readonly Cell[])[]): Html {
  const classOf = ({ kind, paper }: Column) => [kind === "text" ? "text" : "number", paper === true ? "paper" : ""].join(" ").trim();
  return html`<div class="scroller" role="region" aria-label="${caption}" tabindex="0"><table>
<caption><span>${caption}</span></caption>
<thead><tr>${columns.map((column) => html`<th scope="col" class="${classOf(column)}">${column.head}${column.unit !== undefined && html` <small>${column.unit}</small>`}</th>`)}</tr></thead>
<tbody>${rows.map(
    (row) => html`
<tr>${row.map((cell, index) =>
      index === 0
        ? html`<th scope="row" class="${classOf(columns[0]!)}">${cell}</th>`
        : html`<td class="${classOf(columns[index]!)}">${cell ?? "–"}</td>`,
    )}</tr>`,
  )}
</tbody></table></div>`;
}

/** Raw figures: there for who wants them. */
export function collapsed(summary: string, content: Html): Html {
  return html`<details><summary>${summary}</summary>${content}</details>`;
}

/** Never an empty plot: what is missing is said, and how to get it. */
export function missing(what: string, experiment: string): Html {
  return html`<p class="missing"><strong>Not measured:</strong> ${what}. This result has no run of the experiment <code>${experiment}</code>; <code>npm run bench -- paper ${experiment}</code> measures it.</p>`;
}
