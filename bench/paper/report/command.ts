import { resolve } from "node:path";
import type { Command } from "commander";

export function registerReport(program: Command): void {
  program
    .command("report")
    .description("write the HTML report of a result of the suite `paper` anew")
    .argument("<result>", "its file of JSON lines")
    .option("--html <file>", "where to; default: beside the result")
    .action(async (result: string, { html }: { html?: string }) => {
      const file = resolve(html ?? `${result.replace(/\.jsonl$/, "")}.html`);
      if (file === resolve(result)) throw new Error(`${file} is the result itself; choose another file with --html.`);
      const { writeReport } = await import("./report.js").catch((error: NodeJS.ErrnoException) => {
        if (error.code !== "ERR_MODULE_NOT_FOUND") throw error;
        throw new Error("Reports are drawn with the packages vega and vega-lite, which are there in a checkout of Squall only.");
      });
      await writeReport(result, file);
      console.log(`report: ${file}`);
    });
}
