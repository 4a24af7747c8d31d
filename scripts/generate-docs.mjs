#!/usr/bin/env node
// Writes the parts of docs/ that are generated: the reference of the cluster file from its schema, that of the command line from its
// definition. `--check` writes nothing and fails when they are out of date. Needs `npm run build:ts` before.
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const root = new URL("../", import.meta.url);
const begin = "<!-- generated: npm run generate -->";
const end = "<!-- end of generated -->";

function typeOf(schema) {
  if (schema.enum) return schema.enum.map((value) => `\`"${value}"\``).join(", ");
  if (schema.anyOf) return schema.anyOf.map((part) => ("const" in part ? `\`"${part.const}"\`` : typeOf(part))).join(" or ");
  const range = schema.minimum === undefined ? "" : `, ${schema.minimum} to ${schema.maximum}`;
  return `${schema.type}${range}`;
}

/** One row per key, nested keys dotted. */
function rows(schema, prefix = "") {
  return Object.entries(schema.properties).flatMap(([key, part]) => {
    const name = `${prefix}${key}`;
    const required = schema.required?.includes(key) ? "required" : "";
    const isObject = part.type === "object";
    const value = part.default === undefined || isObject ? required : `\`${JSON.stringify(part.default)}\``;
    const own = `| \`${name}\` | ${typeOf(part)} | ${value} | ${part.description ?? ""} |`;
    if (isObject) return [own, ...rows(part, `${name}.`)];
    return part.items ? [own, ...rows(part.items, `${name}[].`)] : [own];
  });
}

function clusterFile() {
  const schema = JSON.parse(readFileSync(new URL("schema/cluster.schema.json", root), "utf8"));
  return ["| key | type | default | |", "|---|---|---|---|", ...rows(schema)].join("\n");
}

async function commandLine() {
  const { buildProgram } = await import(new URL("dist/cli/program.js", root).href);
  const sections = [];
  const describe = (command, name) => {
    command.configureHelp({ helpWidth: 110 });
    sections.push(`## ${name}\n\n\`\`\`text\n${command.helpInformation().trimEnd()}\n\`\`\``);
    for (const child of command.commands) describe(child, `${name} ${child.name()}`);
  };
  describe(buildProgram(), "squall");
  return sections.join("\n\n");
}

/** The file with the text between its marks replaced. */
function withGenerated(file, text) {
  const old = readFileSync(new URL(file, root), "utf8");
  const from = old.indexOf(begin);
  const to = old.indexOf(end);
  if (from < 0 || to < from) throw new Error(`${file} has no "${begin}" ... "${end}"`);
  return { file, old, text: `${old.slice(0, from + begin.length)}\n${text}\n${old.slice(to)}` };
}

const check = process.argv.includes("--check");
const files = [withGenerated("docs/cluster-file.md", clusterFile()), withGenerated("docs/cli.md", await commandLine())];
for (const { file, old, text } of files) {
  if (old === text) continue;
  if (check) {
    console.error(`${file} is out of date: npm run generate`);
    process.exitCode = 1;
  } else {
    writeFileSync(fileURLToPath(new URL(file, root)), text);
    console.log(`${file} written`);
  }
}
