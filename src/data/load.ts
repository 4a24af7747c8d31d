/** Finds and loads the native addon: once per path and thread. */
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { SquallError } from "../errors.js";
import type { NativeBinding } from "./binding.js";

const packageRoot = fileURLToPath(new URL("../../", import.meta.url));
const require = createRequire(import.meta.url);
const loaded = new Map<string, NativeBinding>();

/** Where the addon may lie, in the order tried: what was built here from source, then the packaged binary. */
export function bindingPaths(): string[] {
  return [
    resolve(packageRoot, "build", "Release", "squall.node"),
    resolve(packageRoot, "prebuilds", `${process.platform}-${process.arch}`, "squall.node"),
  ];
}

/**
 * Loads the addon. `path`, or else the environment variable SQUALL_BINDING, names another file (a test build, say).
 * Throws NATIVE_MISSING when there is no file, RUNTIME_UNSUPPORTED when this runtime can't load it.
 */
export function loadBinding(path: string | undefined = process.env.SQUALL_BINDING): NativeBinding {
  const candidates = path === undefined || path === "" ? bindingPaths() : [resolve(path)];
  const file = candidates.find((candidate) => existsSync(candidate));
  if (file === undefined) {
    throw new SquallError(
      "NATIVE_MISSING",
      `Squall's native part is not there for ${process.platform}-${process.arch} (looked for ${candidates.join(", ")}). ` +
        "Run `npm rebuild squall`; it needs Python 3, make and a C++20 compiler.",
    );
  }
  const known = loaded.get(file);
  if (known !== undefined) return known;
  if (Number(process.versions.napi ?? 0) < 9) {
    throw new SquallError("RUNTIME_UNSUPPORTED", `Squall needs Node 20 or newer (Node-API 9); this is ${runtimeName()}.`);
  }
  let binding: NativeBinding;
  try {
    binding = require(file) as NativeBinding;
  } catch (cause) {
    throw new SquallError(
      "RUNTIME_UNSUPPORTED",
      `${runtimeName()} can't load ${file}: ${cause instanceof Error ? cause.message : String(cause)}. ` +
        "Squall needs Node 20 or newer with its own OpenSSL; a binary built for another platform must be rebuilt (`npm rebuild squall`).",
      { cause },
    );
  }
  Object.assign(binding, { path: file });
  loaded.set(file, binding);
  return binding;
}

function runtimeName(): string {
  const bun = process.versions.bun;
  return bun === undefined ? `Node ${process.versions.node} on ${process.platform}-${process.arch}` : `Bun ${bun}`;
}
