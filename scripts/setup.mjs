#!/usr/bin/env node
// Brings a fresh clone to where it runs: dependencies, native build, TypeScript. Quick when nothing changed. Needs Node.js alone.
//   --mutations  also builds the addon whose guards tests can switch off
import { spawnSync } from "node:child_process";
import { existsSync, statSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));

function fail(message) {
  console.error(message);
  process.exit(1);
}

/** Runs a step in silence; its output is shown only when it fails. */
async function step(name, work) {
  const started = performance.now();
  let note;
  try {
    note = await work();
  } catch (error) {
    fail(`setup: ${name} failed\n${error.message}`);
  }
  const seconds = (performance.now() - started) / 1000;
  if (note || seconds > 3) console.error(`setup: ${name}${note ? ` ${note}` : ""} (${seconds.toFixed(1)} s)`);
}

function run(command, args, options = {}) {
  const result = spawnSync(command, args, {
    cwd: root,
    encoding: "utf8",
    stdio: ["ignore", "pipe", "pipe"],
    maxBuffer: 64 << 20,
    ...options,
  });
  if (result.status !== 0) throw new Error(`${result.stdout ?? ""}${result.stderr ?? ""}${result.error?.message ?? ""}`.trim());
}

function npm(args) {
  const script = process.env.npm_execpath;
  if (script && /\.c?js$/.test(script)) run(process.execPath, [script, ...args]);
  else run("npm", args);
}

function installDependencies() {
  const installed = path.join(root, "node_modules/.package-lock.json");
  const lock = path.join(root, "package-lock.json");
  if (existsSync(installed) && statSync(installed).mtimeMs >= statSync(lock).mtimeMs) return;
  console.error("setup: installing dependencies ...");
  npm(["ci", "--no-audit", "--no-fund", "--loglevel=error"]);
  return "installed";
}

async function buildNative() {
  const { buildNative: build } = await import("./build-native.mjs");
  const built = await build(process.argv.includes("--mutations") ? ["Release", "Mutations"] : ["Release"]);
  return built.length ? `built ${built.join(", ")}` : undefined;
}

function compileTypeScript() {
  const tsc = path.join(root, "node_modules/typescript/bin/tsc");
  run(process.execPath, [tsc, "-p", "tsconfig.json"]);
  if (existsSync(path.join(root, "bench/main.ts"))) run(process.execPath, [tsc, "-p", "tsconfig.bench.json"]);
}

const [major] = process.versions.node.split(".").map(Number);
if (major < 20) fail(`setup: Node.js 20 or newer is needed; this is ${process.version}`);
await step("dependencies", installDependencies);
await step("native part", buildNative);
await step("TypeScript", compileTypeScript);
