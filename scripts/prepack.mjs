#!/usr/bin/env node
// Puts this platform's binary where `npm pack` takes it from, after loading it.
import { copyFileSync, mkdirSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const built = path.join(root, "build/Release/squall.node");
const binding = createRequire(import.meta.url)(built);
if (binding.mutations) throw new Error(`${built} has guards that can be switched off: it must not be published`);

const directory = path.join(root, "prebuilds", `${process.platform}-${process.arch}`);
mkdirSync(directory, { recursive: true });
copyFileSync(built, path.join(directory, "squall.node"));
