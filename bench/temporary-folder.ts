import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const folders: string[] = [];

function removeAll(): void {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
}

/** A folder that goes with this process. */
export function temporaryFolder(): string {
  // One listener for all of them: Node warns of a leak from the eleventh on.
  if (folders.length === 0) process.once("exit", removeAll);
  const folder = mkdtempSync(join(tmpdir(), "squall-bench-"));
  folders.push(folder);
  return folder;
}
