/** Scales of the charts: the same that Vega draws with, so that labels can be placed by what they give. */
import * as vega from "vega";

export type ScaleType = "linear" | "log" | "symlog";

export interface Scale {
  type: ScaleType;
  domain: [number, number];
  ticks: number[];
}

/** A linear one begins at 0; a logarithmic one ends at steps of 1, 2, 5. `most` is how many labels have room. */
export function scaleOf(type: "linear" | "log", values: readonly number[], most = 6): Scale {
  const least = Math.min(...values);
  const highest = Math.max(...values);
  if (type === "linear") {
    const nice = vega
      .scale("linear")()
      .domain([0, highest > 0 ? highest : 1])
      .nice(most);
    return { type, domain: nice.domain() as [number, number], ticks: nice.ticks(most) };
  }
  const steps = stepsAround(least, highest);
  const domain: [number, number] = [steps[0]!, steps.at(-1)!];
  const decades = steps.filter((step) => Number.isInteger(Math.log10(step)));
  return { type, domain, ticks: steps.length <= most || decades.length < 2 ? steps : decades };
}

/** 1, 2, 5, 10, ... from the last that is below `least` to the first that is above `highest`; two of them at least. */
function stepsAround(least: number, highest: number): number[] {
  const all: number[] = [];
  for (let exponent = Math.floor(Math.log10(least)) - 1; exponent <= Math.log10(highest) + 1; exponent++)
    for (const digit of [1, 2, 5]) all.push(Number((digit * 10 ** exponent).toPrecision(1)));
  const from = Math.max(
    0,
    all.findLastIndex((step) => step <= least),
  );
  const to = all.findIndex((step) => step >= highest);
  return all.slice(from, Math.max(to, from + 1) + 1);
}

/** Where a value lies, in pixels from `from` to `to`. */
export function pixelsOf(scale: Scale, from: number, to: number): (value: number) => number {
  return vega.scale(scale.type)().domain(scale.domain).range([from, to]) as unknown as (value: number) => number;
}
