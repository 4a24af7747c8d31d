const [seconds, nanoseconds] = process.hrtime();
const offsetMs = seconds * 1e3 + nanoseconds / 1e6 - performance.now();

/** Milliseconds of the monotonic clock that all processes of a machine share. */
export function nowMs(): number {
  return performance.now() + offsetMs;
}
