/** The report of a result: one HTML file that needs nothing else, to read on paper, on a telephone or in the dark. */
import { mkdirSync, renameSync, writeFileSync } from "node:fs";
import { basename, dirname } from "node:path";
import { type RecordFile, readRecord } from "../record.js";
import { type Html, html } from "./html.js";
import { page } from "./page.js";
import { capacitySection } from "./sections/capacity.js";
import { costSection } from "./sections/cost.js";
import { figure8Section } from "./sections/figure8.js";
import { figure9Section } from "./sections/figure9.js";
import { latencySection } from "./sections/latency.js";
import { openLoopSection } from "./sections/open-loop.js";
import { scalingSection } from "./sections/scaling.js";
import { table1Section } from "./sections/table1.js";
import { verdictSection } from "./sections/verdicts.js";

interface Section {
  id: string;
  title: string;
  content: (record: RecordFile) => Html | Promise<Html>;
}

const sections: Section[] = [
  { id: "required", title: "What must come out", content: verdictSection },
  { id: "latency", title: "Latency at one client", content: latencySection },
  { id: "figure-8", title: "Figure 8: latency against throughput", content: figure8Section },
  { id: "capacity", title: "Capacity of the busiest replica", content: capacitySection },
  { id: "figure-9", title: "Figure 9: reordering", content: figure9Section },
  { id: "table-1", title: "Table 1: messages", content: table1Section },
  { id: "scaling", title: "Scaling", content: scalingSection },
  { id: "cost", title: "CPU time, context switches, bytes", content: costSection },
  { id: "open-loop", title: "Open loop: latency against offered load", content: openLoopSection },
];

/** Reads a result of the suite, whole or not, and writes its report. Throws an Error that names the file if it is not such a result. */
export async function writeReport(resultFile: string, htmlFile: string): Promise<void> {
  const text = await reportOf(readRecord(resultFile), basename(resultFile));
  mkdirSync(dirname(htmlFile), { recursive: true });
  // Whoever has it open never reads half of it.
  const unfinished = `${htmlFile}.${process.pid}.part`;
  writeFileSync(unfinished, text);
  renameSync(unfinished, htmlFile);
}

/** The page; `name` is that of the result's file. */
export async function reportOf(record: RecordFile, name: string): Promise<string> {
  const parts: { id: string; title: string; content: Html }[] = [];
  for (const { id, title, content } of sections) parts.push({ id, title, content: await content(record) });
  return html`${page(record, name, parts)}`.text;
}
