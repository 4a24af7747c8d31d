#!/usr/bin/env node
// Lays out one npm package per platform under npm/: `npm run release:layout [-- <directory of binaries>]`.
// The directory holds what the build machines made, as <platform>-<arch>/squall.node; default: prebuilds/.
import { copyFileSync, existsSync, mkdirSync, readdirSync, rmSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { NapiCli } from "@napi-rs/cli";

const root = fileURLToPath(new URL("..", import.meta.url));
const source = path.resolve(root, process.argv[2] ?? "prebuilds");
const staging = path.join(root, "build/artifacts");
const suffix = { linux: "-gnu", darwin: "" };

if (!existsSync(source)) {
  console.error(`${source} does not exist: run \`npm pack\` on each platform first and collect its prebuilds/ folder`);
  process.exit(1);
}

rmSync(staging, { recursive: true, force: true });
mkdirSync(staging, { recursive: true });
const found = [];
for (const platform of readdirSync(source)) {
  const binary = path.join(source, platform, "squall.node");
  if (!existsSync(binary)) continue;
  const name = `${platform}${suffix[platform.split("-")[0]] ?? ""}`;
  copyFileSync(binary, path.join(staging, `squall.${name}.node`));
  found.push(name);
}

const cli = new NapiCli();
await cli.createNpmDirs({ cwd: root, npmDir: "npm" });
// Platforms without a binary keep no folder: an empty package must not be published.
for (const name of readdirSync(path.join(root, "npm"))) {
  if (!found.includes(name)) rmSync(path.join(root, "npm", name), { recursive: true, force: true });
}
await cli.artifacts({ cwd: root, outputDir: path.relative(root, staging), npmDir: "npm" });
console.log(`npm/: ${found.join(", ")}`);
