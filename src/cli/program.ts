/** All commands, put together; also what docs/cli.md is generated from. */
import { Command } from "commander";
import { version } from "../version.js";
import { registerBench } from "./bench.js";
import { registerBootstrap } from "./bootstrap.js";
import { registerCheck } from "./check.js";
import { registerDemo } from "./demo.js";
import { registerDoctor } from "./doctor.js";
import { registerExplore } from "./explore.js";
import { registerInit } from "./init.js";
import { registerInvoke } from "./invoke.js";
import { registerKey } from "./key.js";
import { registerMembers } from "./members.js";
import { registerRecover } from "./recover.js";
import { registerRelay } from "./relay.js";
import { registerReplica } from "./replica.js";
import { registerSim } from "./sim.js";
import { registerStatus } from "./status.js";

/** The program `squall`; parse errors are thrown as CommanderError. */
export function buildProgram(): Command {
  const program = new Command("squall")
    .description("Replicated state machines in one round trip: Speculative Paxos for Node.js")
    .version(version)
    .option("--debug", "show the stack of an error", false)
    .showHelpAfterError("Run with --help to see what is allowed.")
    .exitOverride()
    .configureOutput({ outputError: (text, write) => write(text.replace(/^error: /, "error USAGE: ")) });

  for (const register of [
    registerInit,
    registerKey,
    registerReplica,
    registerRelay,
    registerBootstrap,
    registerInvoke,
    registerStatus,
    registerMembers,
    registerRecover,
    registerDoctor,
    registerCheck,
    registerSim,
    registerExplore,
    registerBench,
    registerDemo,
  ]) {
    register(program);
  }
  return program;
}
