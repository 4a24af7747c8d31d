/** How many times larger the figures of one side are than those of another, with a confidence interval, from a few noisy rounds. */

/** Of the ratio b / a. */
export interface RatioInterval {
  /** Geometric mean of the rounds' ratios (paired), or ratio of the geometric means (unpaired). */
  ratio: number;
  /** The interval's ends, at 95%. */
  low: number;
  high: number;
}

/** Fewer say nothing about how much rounds differ. */
export const leastRounds = 3;
/** Figures of an HdrHistogram with three digits are exact to so much: no interval is narrower. */
const resolution = 0.001;
const maxDegrees = 30;

/** The 97.5% quantile of Student's t for 1, 2, ... 30 degrees of freedom, as printed in any table of it. */
export const studentQuantiles = [
  12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.16, 2.145, 2.131, 2.12, 2.11, 2.101, 2.093, 2.086,
  2.08, 2.074, 2.069, 2.064, 2.06, 2.056, 2.052, 2.048, 2.045, 2.042,
];

/**
 * Rounds of a and b that were measured beside each other, in the same order: t interval of the mean difference of their logarithms, in
 * which noise that both had cancels out. Undefined for fewer than three rounds, or where a figure is not positive.
 */
export function pairedRatio(a: readonly number[], b: readonly number[]): RatioInterval | undefined {
  if (a.length !== b.length) throw new Error(`${a.length} rounds cannot be paired with ${b.length}`);
  if (a.length < leastRounds || ![...a, ...b].every(positive)) return undefined;
  const { mean, variance } = moments(a.map((value, round) => Math.log(b[round]! / value)));
  return interval(mean, variance / a.length, a.length - 1);
}

/** Rounds that have nothing to do with each other: Welch's interval of the logarithms. Undefined as above. */
export function unpairedRatio(a: readonly number[], b: readonly number[]): RatioInterval | undefined {
  if (Math.min(a.length, b.length) < leastRounds || ![...a, ...b].every(positive)) return undefined;
  const [of, to] = [moments(a.map(Math.log)), moments(b.map(Math.log))];
  const [ofMean, toMean] = [of.variance / a.length, to.variance / b.length];
  const sum = ofMean + toMean;
  const degrees = sum === 0 ? a.length + b.length - 2 : sum ** 2 / (ofMean ** 2 / (a.length - 1) + toMean ** 2 / (b.length - 1));
  return interval(to.mean - of.mean, sum, degrees);
}

function interval(mean: number, varianceOfMean: number, degrees: number): RatioInterval {
  // Fewer degrees of freedom make it wider: never narrower than it should be.
  const t = studentQuantiles[Math.max(1, Math.min(maxDegrees, Math.floor(degrees))) - 1]!;
  const half = Math.max(t * Math.sqrt(varianceOfMean), resolution);
  return { ratio: Math.exp(mean), low: Math.exp(mean - half), high: Math.exp(mean + half) };
}

function moments(values: readonly number[]): { mean: number; variance: number } {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  return { mean, variance: values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (values.length - 1) };
}

function positive(value: number): boolean {
  return Number.isFinite(value) && value > 0;
}
