import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import * as squall from "squall";
import { describe, expect, it } from "vitest";

const root = fileURLToPath(new URL("../../", import.meta.url));
const read = (file: string) => readFileSync(path.join(root, file), "utf8");

/** What is tracked or about to be: everything that git does not ignore. */
const files = execFileSync("git", ["ls-files", "--cached", "--others", "--exclude-standard"], { cwd: root, encoding: "utf8" })
  .split("\n")
  .filter((file) => file !== "" && existsSync(path.join(root, file)));
const sources = files.filter((file) => /\.(ts|mjs|js|cc|h|c|sh)$/.test(file));
const pages = files.filter((file) => file.endsWith(".md"));
const texts = [
  ...sources,
  ...pages,
  ...files.filter((file) => /\.(json|gyp|txt|ya?ml)$/.test(file) && file !== "package-lock.json"),
  ".ci/run",
];

describe("files", () => {
  it("have at most 500 lines", () => {
    const long = sources.map((file) => ({ file, lines: read(file).split("\n").length })).filter(({ lines }) => lines > 500);
    expect(long).toEqual([]);
  });

  it("hold no unfinished business", () => {
    const forbidden = new RegExp(`\\b(${["TO" + "DO", "FIX" + "ME", "XX" + "X", "HA" + "CK"].join("|")})\\b`);
    const found = texts.filter((file) => forbidden.test(read(file)));
    expect(found).toEqual([]);
  });

  it("name no home folders", () => {
    const homes = new RegExp(`/${"ho" + "me"}/[a-z]|/${"Us" + "ers"}/`);
    expect(texts.filter((file) => homes.test(read(file)))).toEqual([]);
  });
});

it("the lock file names no download hosts", () => {
  expect(read("package-lock.json")).not.toContain('"resolved"');
});

it("native/sources.txt lists every source of the addon, once", () => {
  const listed = read("native/sources.txt").trim().split("\n");
  const present = files.filter((file) => /^native\/(wire|log|protocol|client|fabric|addon)\/.*\.cc$/.test(file));
  expect([...listed].sort()).toEqual([...present].sort());
});

describe("documentation", () => {
  it("has no dead links", () => {
    const dead = pages.flatMap((page) =>
      [...read(page).matchAll(/\]\(([^)\s]+)\)/g)].flatMap(([, link]) => {
        if (/^[a-z]+:/.test(link!) || link!.startsWith("#")) return [];
        const target = path.join(root, path.dirname(page), link!.split("#")[0]!);
        return existsSync(target) ? [] : [`${page}: ${link}`];
      }),
    );
    expect(dead).toEqual([]);
  });

  it("is reached from the README", () => {
    const readme = read("README.md");
    const missing = pages.filter((page) => page.startsWith("docs/") && !readme.includes(`(${page})`));
    expect(missing).toEqual([]);
  });

  it("lists every error code, and no other", () => {
    const union = /export type ErrorCode =([\s\S]*?);/.exec(read("src/errors.ts"))![1]!;
    const codes = [...union.matchAll(/"([A-Z_]+)"/g)].map(([, code]) => code!).sort();
    const documented = [...read("docs/errors.md").matchAll(/^\| `([A-Z_]+)` \|/gm)].map(([, code]) => code!).sort();
    expect(codes.length).toBeGreaterThan(20);
    expect(documented).toEqual(codes);
  });

  it("names every function that the package exports, and every option of createReplica and connect", () => {
    const api = read("docs/api.md");
    const named = (name: string) => new RegExp(`\\b${name}\\b`).test(api);
    const functions = Object.entries(squall).flatMap(([name, value]) => (typeof value === "function" && /^[a-z]/.test(name) ? [name] : []));
    expect(functions.length).toBeGreaterThan(15);
    expect(functions.filter((name) => !named(name))).toEqual([]);
    const section = (title: string) => api.split("\n## ").find((text) => text.startsWith(`${title}\n`))!;
    const optionsOf = (file: string, list: string) => {
      const names = new RegExp(`const ${list} = \\[([^\\]]*)\\]`).exec(read(file))![1]!;
      return [...names.matchAll(/"(\w+)"/g)].map(([, name]) => name!);
    };
    const missing = (title: string, names: string[]) =>
      names.filter((name) => !section(title).includes(`| \`${name}\``) && !section(title).includes(`, \`${name}\``));
    expect(missing("Replicas", optionsOf("src/replica.ts", "optionNames"))).toEqual([]);
    expect(missing("Clients", optionsOf("src/client.ts", "connectOptionNames"))).toEqual([]);
  });

  it("has generated parts that are up to date", () => {
    execFileSync(process.execPath, ["scripts/generate-docs.mjs", "--check"], { cwd: root, encoding: "utf8" });
  });
});

it("names no library that the package does not depend on", () => {
  const { dependencies, devDependencies } = JSON.parse(read("package.json")) as Record<string, Record<string, string>>;
  const imported = new Set(
    files
      .filter((file) => /^src\/.*\.ts$/.test(file))
      .flatMap((file) => [...read(file).matchAll(/from "([^".][^"]*)"/g)].map(([, name]) => name!))
      .filter((name) => !name.startsWith("node:"))
      .map((name) =>
        name
          .split("/")
          .slice(0, name.startsWith("@") ? 2 : 1)
          .join("/"),
      ),
  );
  for (const name of imported) expect(dependencies, name).toHaveProperty([name]);
  expect(Object.keys(devDependencies!)).not.toContain("eslint");
});
