/** How the command line speaks. */
import pc from "picocolors";
import { SquallError } from "../errors.js";

/** `error CODE: message` on stderr; the stack only where it was asked for. */
export function reportError(error: unknown, withStack = false): void {
  const code = error instanceof SquallError ? error.code : "INTERNAL";
  const message = error instanceof Error ? error.message : String(error);
  console.error(`${pc.red(`error ${code}:`)} ${message}`);
  if (withStack && error instanceof Error) console.error(pc.dim(error.stack ?? ""));
}

/** Columns under a heading, as wide as their longest cell. */
export function table(heading: string[], rows: string[][]): string {
  const widths = heading.map((title, column) => Math.max(title.length, ...rows.map((row) => row[column]?.length ?? 0)));
  const line = (cells: string[]) =>
    cells
      .map((cell, column) => cell.padEnd(widths[column]!))
      .join("  ")
      .trimEnd();
  return [pc.dim(line(heading)), ...rows.map(line)].join("\n");
}

/** 12345 as "12,345". */
export function thousands(value: number): string {
  return Math.round(value).toLocaleString("en-US");
}

/** Aborted at the first SIGINT or SIGTERM. */
export function aborted(): AbortSignal {
  const controller = new AbortController();
  // Not `once`: what restores the terminal's cursor ends the process by the signal where it finds no other listener.
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => controller.abort());
  return controller.signal;
}

/** Resolves at the first SIGINT or SIGTERM, when the parent that forked this process is gone, or with `ended`. */
export function untilStopped(ended?: Promise<void>): Promise<void> {
  return new Promise((resolve) => {
    // A replica in a Worker leaves nothing on this thread that would keep the process.
    const alive = setInterval(() => undefined, 1 << 30);
    const stop = () => {
      clearInterval(alive);
      // As long as somebody listens for it, the channel to the parent keeps the process.
      process.off("disconnect", stop);
      resolve();
    };
    for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, stop);
    if (process.connected) process.once("disconnect", stop);
    void ended?.then(stop);
  });
}
