/** A readable record of a run, line by line. `atUs`: virtual time. */
export type Trace = (atUs: number, line: string) => void;

export function formatTrace(atUs: number, line: string): string {
  return `${(atUs / 1000).toFixed(3).padStart(12)} ms  ${line}`;
}
