#!/usr/bin/env node
// Lays out one npm package per platform under npm/: `npm run release:layout -- <directory>`.
// The directory holds what the build machines packed, as <platform>-<arch>/squall.node: the prebuilds/ folders of their tarballs.
import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { NapiCli } from "@napi-rs/cli";

const root = fileURLToPath(new URL("..", import.meta.url));
const source = path.resolve(root, process.argv[2] ?? "prebuilds");
const staging = path.join(root, "build/artifacts");
const { napi, main, exports, bin, files, ...about } = JSON.parse(readFileSync(path.join(root, "package.json"), "utf8"));

/** As Node.js names the platform; as @napi-rs/cli names it, and its target triple. */
const platforms = {
  "linux-x64": ["linux-x64-gnu", "x86_64-unknown-linux-gnu"],
  "linux-arm64": ["linux-arm64-gnu", "aarch64-unknown-linux-gnu"],
  "darwin-x64": ["darwin-x64", "x86_64-apple-darwin"],
  "darwin-arm64": ["darwin-arm64", "aarch64-apple-darwin"],
};

const found = Object.keys(platforms).filter((platform) => existsSync(path.join(source, platform, "squall.node")));
if (found.length === 0) {
  console.error(`${source} holds no binary: run \`npm pack\` on each platform and collect the prebuilds/ folders of the tarballs`);
  process.exit(1);
}

rmSync(staging, { recursive: true, force: true });
rmSync(path.join(root, "npm"), { recursive: true, force: true });
mkdirSync(path.join(staging, "binaries"), { recursive: true });
for (const platform of found) {
  copyFileSync(path.join(source, platform, "squall.node"), path.join(staging, "binaries", `squall.${platforms[platform][0]}.node`));
}

// In a folder of its own, since the tool writes into the package it lays out. Platforms without a binary get no package:
// an empty one must not be published.
const targets = found.map((platform) => platforms[platform][1]);
writeFileSync(path.join(staging, "package.json"), JSON.stringify({ ...about, napi: { ...napi, targets } }));
const cli = new NapiCli();
await cli.createNpmDirs({ cwd: staging, npmDir: "npm" });
await cli.artifacts({ cwd: staging, npmDir: "npm", outputDir: "binaries" });
renameSync(path.join(staging, "npm"), path.join(root, "npm"));
console.log(`npm/: ${readdirSync(path.join(root, "npm")).join(", ")}`);
