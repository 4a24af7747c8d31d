#!/usr/bin/env node
// Builds build/Release/squall.node, with --mutations build/Mutations/squall.node too. Does nothing when the sources are unchanged.
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const lockWaitMs = 15 * 60_000;
const targets = { Release: "squall", Mutations: "squall_mutations" };

/** Every file a build depends on: the native tree without its tests, and the build's own description. */
function inputs() {
  const files = ["binding.gyp", "native/sources.txt"];
  const walk = (directory) => {
    for (const entry of readdirSync(path.join(root, directory), { withFileTypes: true })) {
      const name = `${directory}/${entry.name}`;
      if (entry.isDirectory()) {
        if (name !== "native/test") walk(name);
      } else if (/\.(cc|h)$/.test(entry.name)) files.push(name);
    }
  };
  walk("native");
  return files.sort();
}

function fingerprint() {
  const hash = createHash("sha256").update(`${process.platform} ${process.arch} ${process.env.CXX ?? ""} ${process.env.CXXFLAGS ?? ""}\n`);
  for (const file of inputs()) hash.update(`${file}\n`).update(readFileSync(path.join(root, file)));
  return hash.digest("hex");
}

function stampPath(variant) {
  return path.join(root, "build", `${variant}.stamp`);
}

function upToDate(variant, print) {
  const stamp = stampPath(variant);
  return existsSync(path.join(root, "build", variant, "squall.node")) && existsSync(stamp) && readFileSync(stamp, "utf8") === print;
}

/** node-gyp of this tree, of the npm that runs us, or of the npm beside this Node. */
function findNodeGyp() {
  const require = createRequire(import.meta.url);
  const candidates = [
    () => require.resolve("node-gyp/bin/node-gyp.js"),
    () => process.env.npm_config_node_gyp,
    () => path.resolve(process.execPath, "../../lib/node_modules/npm/node_modules/node-gyp/bin/node-gyp.js"),
  ];
  for (const candidate of candidates) {
    try {
      const found = candidate();
      if (found && existsSync(found)) return found;
    } catch {
      // not installed here: the next candidate
    }
  }
  throw new Error("node-gyp was not found: install npm beside Node.js, or run `npm install node-gyp`");
}

function run(command, args) {
  const result = spawnSync(command, args, { cwd: root, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"], maxBuffer: 64 << 20 });
  if (result.status === 0) return;
  const output = `${result.stdout ?? ""}${result.stderr ?? ""}`.trim();
  const needs = "Building the native part needs Python 3, make and a C++20 compiler.";
  throw new Error(`${output}\n${args.join(" ")}: ${result.error?.message ?? `exit status ${result.status}`}. ${needs}`);
}

function ownerAlive(lock) {
  try {
    const pid = readFileSync(lock, "utf8");
    // Created and not yet written: its owner is about to.
    if (pid === "") return true;
    process.kill(Number(pid), 0);
    return true;
  } catch (error) {
    return error.code === "EPERM";
  }
}

/** Two builds in one tree would write the same object files. */
async function withLock(work) {
  const lock = path.join(root, "build", "lock");
  mkdirSync(path.dirname(lock), { recursive: true });
  const deadline = Date.now() + lockWaitMs;
  for (;;) {
    try {
      writeFileSync(lock, String(process.pid), { flag: "wx" });
      break;
    } catch (error) {
      if (error.code !== "EEXIST") throw error;
      if (Date.now() > deadline) throw new Error(`another build holds ${lock}; remove it if none is running`);
      if (!ownerAlive(lock)) rmSync(lock, { force: true });
      await delay(300);
    }
  }
  try {
    return await work();
  } finally {
    rmSync(lock, { force: true });
  }
}

/** Headers beside the running Node need no download. */
function nodeDirectory() {
  const prefix = path.resolve(process.execPath, "../..");
  return existsSync(path.join(prefix, "include/node/node_api.h")) ? [`--nodedir=${prefix}`] : [];
}

/**
 * Builds the variants that are not up to date: "Release" is what ships, "Mutations" has guards that tests switch off.
 * Resolves with the names of those it built; rejects with the compiler's output.
 */
export async function buildNative(variants = ["Release"]) {
  const print = fingerprint();
  if (variants.every((variant) => upToDate(variant, print))) return [];
  return withLock(() => {
    const wanted = variants.filter((variant) => !upToDate(variant, print));
    if (wanted.length === 0) return wanted;
    const gyp = findNodeGyp();
    const mutations = existsSync(path.join(root, "native/test")) ? 1 : 0;
    run(process.execPath, [gyp, "configure", ...nodeDirectory(), "--", `-Dsquall_mutations=${mutations}`]);
    for (const variant of wanted) {
      rmSync(stampPath(variant), { force: true });
      run(process.execPath, [gyp, "build", targets[variant], "--jobs=2"]);
      if (variant !== "Release") {
        mkdirSync(path.join(root, "build", variant), { recursive: true });
        copyFileSync(path.join(root, "build/Release", `${targets[variant]}.node`), path.join(root, "build", variant, "squall.node"));
      }
      writeFileSync(stampPath(variant), print);
    }
    return wanted;
  });
}

if (process.argv[1] && path.resolve(process.argv[1]) === fileURLToPath(import.meta.url)) {
  const variants = process.argv.includes("--mutations") ? ["Release", "Mutations"] : ["Release"];
  const started = performance.now();
  try {
    const built = await buildNative(variants);
    console.log(
      `native: ${built.length ? `built ${built.join(", ")}` : "up to date"} (${((performance.now() - started) / 1000).toFixed(1)} s)`,
    );
  } catch (error) {
    console.error(error.message);
    process.exitCode = 1;
  }
}
