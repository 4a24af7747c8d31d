import { microsecondBenches } from "./microseconds.js";
import { nanosecondBenches } from "./nanoseconds.js";
import { nativeKernels } from "./native.js";

/** All micro benches, or those named. */
export async function benchMicro(names: readonly string[]): Promise<void> {
  const wanted = (...group: string[]) => names.length === 0 || group.some((name) => names.includes(name));
  if (wanted("hash", "seal", "open", "codec", "session")) nativeKernels(names);
  if (wanted("upcall", "ring")) await nanosecondBenches();
  if (wanted("merge", "control", "invoke")) microsecondBenches(names);
}
