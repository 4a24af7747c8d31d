import { mkdirSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import type { TopLevelSpec } from "vega-lite";

const folder = "bench-results";
const padding = 12;

/** Draws a Vega-Lite chart into bench-results/<name>.svg and returns its path; undefined where Vega is not installed. */
export async function plot(name: string, spec: TopLevelSpec): Promise<string | undefined> {
  const libraries = await load();
  if (libraries === undefined) {
    console.error("no plot: the packages vega and vega-lite are not installed");
    return undefined;
  }
  const { vega, vegaLite } = libraries;
  const view = new vega.View(vega.parse(vegaLite.compile({ background: "white", padding, ...spec }).spec), { renderer: "none" });
  const svg = await view.toSVG();
  view.finalize();
  mkdirSync(folder, { recursive: true });
  const file = resolve(join(folder, `${name}.svg`));
  writeFileSync(file, svg);
  return file;
}

/** They are for development only: who has the package alone gets figures without plots. */
async function load() {
  try {
    return { vega: await import("vega"), vegaLite: await import("vega-lite") };
  } catch {
    return undefined;
  }
}
