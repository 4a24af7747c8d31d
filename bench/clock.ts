const tries = 200;

/** What performance.now() lacks to the monotonic clock, by the try that was disturbed least: one alone may be late by milliseconds. */
function measureOffsetMs(): number {
  let narrowestMs = Number.POSITIVE_INFINITY;
  let offsetMs = 0;
  for (let i = 0; i < tries; i++) {
    const beforeMs = hrtimeMs();
    const performanceMs = performance.now();
    const widthMs = hrtimeMs() - beforeMs;
    if (widthMs >= narrowestMs) continue;
    narrowestMs = widthMs;
    offsetMs = beforeMs + widthMs / 2 - performanceMs;
  }
  return offsetMs;
}

function hrtimeMs(): number {
  const [seconds, nanoseconds] = process.hrtime();
  return seconds * 1e3 + nanoseconds / 1e6;
}

const offsetMs = measureOffsetMs();

/** Milliseconds of the monotonic clock that all processes of a machine share, to a few microseconds; allocates nothing. */
export function nowMs(): number {
  return performance.now() + offsetMs;
}
