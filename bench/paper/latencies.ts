import { build, decodeFromCompressedBase64, encodeIntoCompressedBase64, type Histogram } from "hdr-histogram-js";

const longestNs = 60e9;

/** Of nanoseconds from 64 on, to three digits. */
export function newHistogram(): Histogram {
  return build({ lowestDiscernibleValue: 64, highestTrackableValue: longestNs, numberOfSignificantValueDigits: 3 });
}

export function recordMs(histogram: Histogram, ms: number): void {
  histogram.recordValue(Math.min(longestNs, Math.max(1, Math.round(ms * 1e6))));
}

export const encodeHistogram = (histogram: Histogram): string => encodeIntoCompressedBase64(histogram);

export function mergeHistograms(parts: readonly string[]): Histogram {
  const whole = newHistogram();
  for (const part of parts) whole.add(decodeFromCompressedBase64(part));
  return whole;
}

/** Percentiles, mean and maximum in microseconds; nothing of an empty histogram. */
export function figuresOf(histogram: Histogram) {
  if (histogram.totalCount === 0) return {};
  const us = (ns: number) => Math.round(ns / 10) / 100;
  return {
    p50Us: us(histogram.getValueAtPercentile(50)),
    p99Us: us(histogram.getValueAtPercentile(99)),
    p999Us: us(histogram.getValueAtPercentile(99.9)),
    meanUs: us(histogram.mean),
    maxUs: us(histogram.maxValue),
  };
}
