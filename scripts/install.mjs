#!/usr/bin/env node
// The package's npm install hook: takes the prebuilt binary where it loads, else compiles. Downloads nothing.
import { spawnSync } from "node:child_process";
import { existsSync, rmSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const prebuilt = path.join(root, "prebuilds", `${process.platform}-${process.arch}`, "squall.node");

/** In a child process, so that a binary for another C library can't end the installation. */
function loads(file) {
  if (!existsSync(file)) return false;
  const script = "process.dlopen({ exports: {} }, process.argv[1])";
  return spawnSync(process.execPath, ["-e", script, file], { stdio: "ignore", timeout: 30_000 }).status === 0;
}

// A checkout builds by scripts/setup.mjs, before `npm start` and `npm test`.
const checkout = existsSync(path.join(root, "src")) && existsSync(path.join(root, "tsconfig.json"));
if (!checkout && !loads(prebuilt)) {
  console.log(`squall: no prebuilt binary loads on ${process.platform}-${process.arch}, compiling`);
  const { buildNative } = await import("./build-native.mjs");
  try {
    await buildNative(["Release"]);
    // What doesn't load here must not be tried before what does.
    rmSync(prebuilt, { force: true });
  } catch (error) {
    console.error(`squall: ${error.message}`);
    process.exitCode = 1;
  }
}
