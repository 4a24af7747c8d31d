/** The document around the sections: head, contents, how to repeat it. */
import { experimentNames, protocolNames, type RecordFile } from "../record.js";
import { count } from "./format.js";
import { Html, html } from "./html.js";
import { paperCitation } from "./paper-figures.js";
import { style } from "./style.js";

export interface Part {
  id: string;
  title: string;
  content: Html;
}

export function page(record: RecordFile, name: string, parts: readonly Part[]): Html {
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<link rel="icon" href="data:,">
<title>Replication protocols compared: ${name}</title>
<style>${new Html(style)}</style>
</head>
<body>
<header>
<p class="kind">Squall · npm run bench -- paper</p>
<h1>Replication protocols on one data plane</h1>
<p class="lead">Unreplicated, Paxos, Paxos with batching, Fast Paxos and Speculative Paxos on the same machine, sessions, log and client, so that a difference is the protocol’s; beside the figures of the <a href="#source">paper</a>.</p>
${warnings(record)}
${facts(record, name)}
</header>
<nav aria-label="Contents"><ol>${parts.map(({ id, title }) => html`<li><a href="#${id}">${title}</a></li>`)}</ol></nav>
<main>${parts.map(
    ({ id, title, content }) => html`
<section id="${id}" aria-labelledby="${id}-head"><h2 id="${id}-head">${title}</h2>
${content}</section>`,
  )}
</main>
${footer(record, name)}
</body>
</html>
`;
}

function warnings({ header, runs, summary }: RecordFile): Html {
  const wrong = runs.flatMap((run) => run.wrong ?? []);
  const disagree = runs.filter((run) => run.digestsAgree === false);
  const failed = runs.reduce((sum, run) => sum + (run.values.failed ?? 0), 0);
  return html`${(disagree.length > 0 || summary?.digestsAgree === false) && html`<p class="alert" role="alert"><strong>The replicas of ${disagree.length} runs ended with different digests.</strong> This result must not be used.</p>`}
${wrong.length > 0 && html`<p class="alert" role="alert"><strong>Wrong:</strong> ${wrong.slice(0, 5).join("; ")}. This result must not be used.</p>`}
${runs.length < header.runs && html`<p class="alert"><strong>Not complete:</strong> ${count(runs.length)} of ${count(header.runs)} runs.</p>`}
${header.length === "quick" && html`<p class="missing"><strong>Quick:</strong> short runs and few rounds give a first impression, not a measurement.</p>`}
${failed > 0 && html`<p class="alert"><strong>${count(failed)} operations failed.</strong></p>`}`;
}

function facts({ header, runs }: RecordFile, name: string): Html {
  const { machine } = header;
  const rows: [string, string | Html][] = [
    ["Result", name],
    ["Measured", html`<time datetime="${header.startedAt}">${String(header.startedAt).slice(0, 16).replace("T", " ")} UTC</time>`],
    ["Length, seed", `${header.length}, ${header.seed}`],
    ["Runs", `${count(runs.length)} of ${count(header.runs)}`],
    ["Squall", header.squall],
    ["Processor", `${machine?.cpu}, ${machine?.cores} cores`],
    ["Memory", `${machine?.memoryGiB} GiB`],
    ["System", `${machine?.kernel}, ${machine?.architecture}`],
    ["Node.js", `${machine?.node}`],
    ["Fingerprint", html`<code>${machine?.fingerprint}</code>`],
  ];
  return html`<dl class="facts">${rows.map(([head, value]) => html`<div><dt>${head}</dt><dd>${value}</dd></div>`)}</dl>`;
}

function footer({ header }: RecordFile, name: string): Html {
  const length = header.length === "normal" ? "" : ` --${header.length}`;
  const protocols = header.protocols?.length < protocolNames.length ? ` --protocols ${header.protocols}` : "";
  const experiments = header.plan.length < experimentNames.length ? ` ${header.plan.join(" ")}` : "";
  return html`<footer>
<h2>How to repeat it</h2>
<p>In a checkout of Squall, version <code>${header.squall}</code>, on an otherwise idle machine:</p>
<pre><code>npm ci
npm run bench -- paper${experiments}${protocols}${length} --seed ${header.seed}</code></pre>
<p>A report from a result: <code>npm run bench -- report ${name}</code>. Two results side by side, with intervals: <code>npm run bench -- compare a.jsonl b.jsonl</code>. What each experiment does, and how each figure is defined, is in <code>docs/benchmarks.md</code>.</p>
<p id="source">The paper: ${paperCitation} Its figures are of a testbed of twelve switches and 1 Gbps links; compare ratios, not absolute values.</p>
</footer>`;
}
