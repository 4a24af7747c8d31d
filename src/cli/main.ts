#!/usr/bin/env node
/** The command line: parses, and is the one place where errors end. */
import { CommanderError } from "commander";
import { reportError } from "./output.js";
import { buildProgram } from "./program.js";

const usageError = 2;
const program = buildProgram();

// Whoever read our output has seen enough (`squall sim ... | head`).
process.stdout.on("error", (error: NodeJS.ErrnoException) => process.exit(error.code === "EPIPE" ? 0 : 1));

try {
  await program.parseAsync();
} catch (error) {
  if (error instanceof CommanderError) {
    process.exitCode = error.exitCode === 0 ? 0 : usageError;
  } else {
    reportError(error, program.opts<{ debug: boolean }>().debug);
    process.exitCode = 1;
  }
}
