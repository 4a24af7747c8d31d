import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { SquallError } from "../errors.js";
import type { Register } from "./arguments.js";

export const registerBench: Register = (program) => {
  program
    .command("bench")
    .description("measure; `squall bench --help` lists the benchmarks")
    .argument("[arguments...]", "passed on")
    .allowUnknownOption()
    .helpOption(false)
    .action(async (args: string[]) => {
      const main = fileURLToPath(new URL("../../dist-bench/main.js", import.meta.url));
      if (!existsSync(main))
        throw new SquallError("INVALID_OPTION", `The benchmarks are not built (${main}); run \`npm run setup\` in a checkout.`);
      const child = spawn(process.execPath, [main, ...args], { stdio: "inherit" });
      const [status] = (await once(child, "exit")) as [number | null];
      process.exitCode = status ?? 1;
    });
};
