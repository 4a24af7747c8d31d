import { execFile, spawn } from "node:child_process";
import { promisify } from "node:util";
import { describe, expect, it } from "vitest";
import { clusterContent, counterModule, echoModule } from "./support.js";

const run = promisify(execFile);
const index = new URL("../../dist/index.js", import.meta.url).href;
const cli = new URL("../../dist/cli/main.js", import.meta.url).pathname;

/** Prints OK or the error's code. */
function program(cluster: unknown, options: string): string {
  return `import { createReplica, loadCluster } from ${JSON.stringify(index)};
    const { echoMachine } = await import(${JSON.stringify(echoModule.href)});
    const cluster = await loadCluster(${JSON.stringify(cluster)}, { secret: Buffer.alloc(32, 7) });
    try { const r = await createReplica({ cluster, id: 0, ${options} }); await r.close(); console.log("OK"); }
    catch (error) { console.log(error.code); }
    process.exit(0);`;
}

describe("a replica in an unusual process", () => {
  it("starts its Worker where the program came from the command line", async () => {
    const text = program(await clusterContent(), `machine: new URL(${JSON.stringify(counterModule.href)})`);
    const { stdout } = await run(process.execPath, ["--input-type=module", "-e", text]);
    expect(stdout.trim()).toBe("OK");
  });

  it.runIf(process.platform === "linux")("names the limits to lower where there is no address space for the log", async () => {
    const cluster = await clusterContent();
    const large = { ...cluster, limits: { ...(cluster as { limits?: object }).limits, logBytes: 2 ** 40 } };
    const text = program(large, `machine: echoMachine(), thread: "main"`);
    const { stdout } = await run("bash", ["-c", 'ulimit -v 40000000; exec "$0" --input-type=module -e "$1"', process.execPath, text]);
    expect(stdout.trim()).toBe("INVALID_OPTION");
  });
});

it("a command whose reader stops reading ends quietly", async () => {
  const child = spawn(process.execPath, [cli, "sim", "--seeds", "6", "--workers", "1", "--json"], { stdio: ["ignore", "pipe", "pipe"] });
  let errors = "";
  child.stderr.on("data", (chunk) => {
    errors += String(chunk);
  });
  child.stdout.once("data", () => child.stdout.destroy());
  const status = await new Promise((resolve) => child.once("close", resolve));
  expect(errors).not.toContain("EPIPE");
  expect(status).toBe(0);
});
