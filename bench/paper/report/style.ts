/** The report's style sheet. All text, and the sides' colours, in which their names are written too, have a contrast of 4.5 : 1 at least, in both forms. */
export const style = `
:root {
  color-scheme: light dark;
  --page: #fdfcfa; --ink: #1d1c1a; --ink-soft: #5b5852; --rule: #e4e0d8; --tint: #f4f1ea; --link: #1d4f91;
  --good: #1c6b3c; --bad: #a52a1f; --alert: #fbe9e4;
  --speculative: #c2291c; --fast-paxos: #a66200; --paxos: #1f5fa8; --batching: #12806f; --unreplicated: #77726a;
  --leader-mode: #7a4ba0; --adaptive: #a03a6e; --floor: #5d6b78;
  --serif: Charter, "Bitstream Charter", "Source Serif 4", Cambria, Georgia, "Liberation Serif", serif;
  --sans: system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "Liberation Sans", Arial, sans-serif;
  --mono: ui-monospace, "SF Mono", Menlo, Consolas, "Liberation Mono", monospace;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #171613; --ink: #ece8e0; --ink-soft: #aaa498; --rule: #35322c; --tint: #211f1b; --link: #8fb9ee;
    --good: #7fcf9b; --bad: #f2897c; --alert: #3b211c;
    --speculative: #ff7a66; --fast-paxos: #e3a73c; --paxos: #74aff0; --batching: #4fc7b0; --unreplicated: #a39d92;
    --leader-mode: #bd97e0; --adaptive: #e58ab7; --floor: #8b9aa8;
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; text-size-adjust: 100%; }
body { margin: 0 auto; max-width: 74rem; padding: 2.5rem 1rem 4rem; background: var(--page); color: var(--ink); font: 1.0625rem/1.55 var(--serif); }
header, main, footer, nav { min-width: 0; }
p, footer pre { max-width: 42rem; }
a { color: var(--link); text-underline-offset: 0.15em; text-decoration-thickness: 1px; }
:focus-visible { outline: 2px solid var(--link); outline-offset: 2px; }
h1 { margin: 0.2rem 0 0.8rem; font-size: clamp(1.7rem, 5vw, 2.4rem); line-height: 1.15; font-weight: 600; letter-spacing: -0.01em; text-wrap: balance; }
h2 { margin: 0 0 0.8rem; font-size: 1.45rem; line-height: 1.25; font-weight: 600; text-wrap: balance; }
h3 { margin: 2rem 0 0.4rem; font-size: 1.1rem; font-weight: 600; }
.kind { margin: 0; font: 0.8125rem var(--sans); color: var(--ink-soft); }
.lead { font-size: 1.2rem; line-height: 1.5; }
.facts { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 15rem), 1fr)); gap: 0.7rem 2rem; margin: 1.8rem 0 0; padding: 1.2rem 0; border-block: 1px solid var(--rule); font: 0.875rem/1.4 var(--sans); }
.facts dt { color: var(--ink-soft); }
.facts dd { margin: 0; overflow-wrap: anywhere; }
nav { margin: 1.5rem 0 0; font: 0.9375rem/1.6 var(--sans); }
nav ol { margin: 0; padding: 0; list-style: none; display: flex; flex-wrap: wrap; gap: 0.2rem 1.6rem; }
section { margin-top: 3.5rem; padding-top: 1.6rem; border-top: 1px solid var(--rule); }
footer { margin-top: 3.5rem; padding-top: 1.6rem; border-top: 3px double var(--rule); }
.finding { font-size: 1.125rem; font-weight: 600; text-wrap: pretty; }
.alert, .missing { padding: 0.7rem 1rem; border-left: 3px solid var(--bad); background: var(--alert); }
.missing { border-color: var(--ink-soft); background: var(--tint); }
.pair { display: grid; grid-template-columns: minmax(0, 1fr); gap: 1.8rem 2rem; margin: 1.4rem 0 1.8rem; }
.beside { max-width: 30rem; padding: 0.2rem 0; }
.beside h3 { margin-top: 0; }
.beside p { margin-block: 0.4rem; }
.chart { margin: 0; min-width: 0; }
figcaption { margin: 0 0 0.5rem; font: 600 0.9375rem/1.35 var(--sans); }
svg { display: block; width: 100%; height: auto; font-family: var(--sans); font-variant-numeric: tabular-nums; overflow: visible; }
svg .mark-text text { paint-order: stroke; stroke: var(--page); stroke-width: 4px; stroke-linejoin: round; }
svg.wide { display: none; max-width: 560px; }
svg.narrow { max-width: 420px; }
.scroller { overflow-x: auto; margin: 1.2rem 0; }
table { border-collapse: collapse; font: 0.875rem/1.35 var(--sans); font-variant-numeric: tabular-nums; }
caption span { display: block; position: sticky; left: 0; max-width: min(42rem, calc(100vw - 2rem)); }
caption { padding: 0 0 0.5rem; text-align: left; color: var(--ink-soft); caption-side: top; }
th, td { padding: 0.32rem 0 0.32rem 1.4rem; border-bottom: 1px solid var(--rule); text-align: right; vertical-align: baseline; font-weight: 400; white-space: nowrap; }
th:first-child, td:first-child { padding-left: 0; }
th.text, td.text { text-align: left; }
thead th { border-bottom: 1px solid var(--ink-soft); font-weight: 600; vertical-align: bottom; }
tbody th { white-space: normal; min-width: 8.5rem; }
th small, td small { font-size: 0.93em; font-weight: 400; color: var(--ink-soft); }
thead small { display: block; }
.paper { color: var(--ink-soft); font-style: italic; }
.status { font-weight: 600; white-space: nowrap; color: var(--ink-soft); }
.met { color: var(--good); }
.unmet { color: var(--bad); }
details { margin: 0.8rem 0; }
summary { cursor: pointer; font: 0.9375rem var(--sans); color: var(--link); padding: 0.25rem 0; }
code { font: 0.875em var(--mono); overflow-wrap: anywhere; }
code.whole { white-space: nowrap; }
pre { overflow-x: auto; padding: 0.8rem 1rem; background: var(--tint); font-size: 0.9375rem; line-height: 1.5; white-space: pre-wrap; }
@media (min-width: 640px) {
  body { padding-inline: 2rem; }
  svg.wide { display: block; }
  svg.narrow { display: none; }
}
@media (min-width: 1160px) {
  .pair { grid-template-columns: repeat(2, minmax(0, 1fr)); }
}
@media print {
  html { font-size: 75%; }
  :root { --page: #fff; --ink: #000; --ink-soft: #444; --rule: #ccc; --tint: #f4f4f4; }
  body { max-width: none; padding: 0; }
  nav, summary { display: none; }
  details::details-content { content-visibility: visible; display: block; }
  section, figure, tr { break-inside: avoid-page; }
  section { margin-top: 1.5rem; break-inside: auto; }
  h2, h3, caption, figcaption { break-after: avoid-page; }
  .scroller { overflow: visible; }
  table { font-size: 7.5pt; }
  th, td { padding-left: 0.6rem; }
  th { white-space: normal; }
  svg.wide { display: block; }
  svg.narrow { display: none; }
  .pair { grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 1rem; }
}
`;
