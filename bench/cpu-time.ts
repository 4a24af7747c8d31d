/** Processor time of processes, from Linux's /proc. */
import { readdirSync, readFileSync } from "node:fs";

/** User and system time of all threads of a process, in us; NaN where the system does not tell. */
export function cpuTimeUs(pid: number): number {
  try {
    // The first number is the time on a processor in ns, exact to the last switch: times in `stat` count ticks.
    const ofThread = (thread: string) => Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, "utf8").split(" ")[0]);
    return readdirSync(`/proc/${pid}/task`).reduce((sum, thread) => sum + ofThread(thread), 0) / 1000;
  } catch {
    return Number.NaN;
  }
}

export function cpuTimesUs(pids: readonly number[]): number[] {
  return pids.map(cpuTimeUs);
}

export function since(beforeUs: readonly number[], afterUs: readonly number[]): number[] {
  return afterUs.map((us, i) => us - beforeUs[i]!);
}
