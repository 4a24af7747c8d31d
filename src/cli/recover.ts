import { createInterface } from "node:readline/promises";
import { InvalidArgumentError } from "commander";
import { beginNewLife, type NewLifePlan, planNewLife } from "../index.js";
import { clusterOption, jsonOption, type Register, wholeNumber } from "./arguments.js";
import { table } from "./output.js";

interface Options {
  cluster: string;
  from: number | "best";
  yes: boolean;
  deadline: number;
  json: boolean;
}

export const registerRecover: Register = (program) => {
  program
    .command("recover")
    .description("after a disaster: begin a new life with the best state that is left, when more than f replicas have lost their memory")
    .addOption(clusterOption())
    .option("--from <replica>", "whose state to go on with: an index, or best", whose, "best")
    .option("-y, --yes", "do not ask; for scripts", false)
    .addOption(jsonOption())
    .option("--deadline <ms>", "give up waiting after so long", wholeNumber(1, 3_600_000), 30_000)
    .action(recover);
};

function whose(text: string): number | "best" {
  if (text === "best") return text;
  if (!/^\d$/.test(text)) throw new InvalidArgumentError("The index of a replica is needed, or best.");
  return Number(text);
}

async function recover({ cluster, from, yes, deadline, json }: Options): Promise<void> {
  const plan = await planNewLife({ cluster, from });
  if (!json) console.log(describe(plan));
  if (!yes && !(await confirmed(json))) {
    if (json) console.log(JSON.stringify({ state: "planned", ...brief(plan) }));
    else console.log("Nothing was changed. `squall recover --yes` does it.");
    process.exitCode = 1;
    return;
  }
  const { lifeId, epoch, takePart } = await beginNewLife({ cluster, plan, deadlineMs: deadline });
  if (json) console.log(JSON.stringify({ state: "done", lifeId, epoch, takePart, ...brief(plan) }));
  else console.log(`life ${lifeId}, epoch ${epoch}: ${takePart} of ${plan.replicas.length} replicas take part`);
}

function brief({ from, committed, end, losses }: NewLifePlan) {
  return { from, committed, end, losses };
}

async function confirmed(json: boolean): Promise<boolean> {
  if (json || !process.stdin.isTTY) return false;
  const lines = createInterface({ input: process.stdin, output: process.stdout });
  try {
    return (await lines.question("Begin the new life? Type yes: ")).trim() === "yes";
  } finally {
    lines.close();
  }
}

function describe({ replicas, losses }: NewLifePlan): string {
  const rows = replicas.map(({ report, role }, index) => {
    if (report === undefined) return [String(index), role, "no answer"];
    const { status, epoch, view, lastNormalView, committed, speculative, checkpoint, hash } = report;
    return [
      String(index),
      role,
      status,
      ...[epoch, view, lastNormalView, committed, speculative, checkpoint].map(String),
      hash.slice(0, 12),
    ];
  });
  const heading = ["replica", "role", "status", "epoch", "view", "last normal view", "committed", "log end", "snapshot", "hash"];
  return [table(heading, rows), ...losses].join("\n");
}
