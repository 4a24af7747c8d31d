/** `npm start`: three replica processes and a client on loopback, a reconciliation provoked, everything verified. */
import { SingleBar } from "cli-progress";
import pc from "picocolors";
import { bootstrap, connect, type ReplicaReport, status } from "../index.js";
import { jsonOption, type Register } from "./arguments.js";
import { DemoGroup } from "./demo/group.js";
import { Load } from "./demo/load.js";
import { thousands } from "./output.js";

const replicas = 3;
const lanes = 16;
const maxOperations = 6_000_000;
const calmMs = 4_000;
const scrambledMs = 1_000;
/** Scrambling rarely leaves all replicas in one order; then it is tried again. */
const scrambles = 3;
const afterwardsMs = 4_000;
const agreementMs = 3_000;
/** The whole demonstration, whatever happens. */
const limitMs = 19_000;

interface Summary {
  committed: number;
  opsPerSecond: number;
  p50Us: number;
  p99Us: number;
  reconciliations: number;
  rolledBack: number;
  digestsAgree: boolean;
}

export const registerDemo: Register = (program) => {
  program
    .command("demo")
    .description("the main job in 10 s: three replicas and a client on this machine, with a reconciliation")
    .addOption(jsonOption())
    .action(async ({ json }: { json: boolean }) => {
      let group: DemoGroup | undefined;
      const endNow = (status: number) => {
        group?.stop();
        process.exit(status);
      };
      process.once("SIGINT", () => endNow(130)).once("SIGTERM", () => endNow(143));
      const limit = setTimeout(() => {
        console.error(`${pc.red("error CONNECT_TIMEOUT:")} the demonstration did not end within ${limitMs / 1000} s`);
        endNow(1);
      }, limitMs);
      try {
        console.error(`Starting ${replicas} replicas of a counter on loopback ...`);
        group = await DemoGroup.start(replicas);
        const { summary, problems } = await run(group);
        for (const problem of problems) console.error(pc.red(problem));
        console.log(json ? JSON.stringify(summary) : describe(summary));
        if (problems.length > 0 || !summary.digestsAgree || summary.rolledBack === 0) process.exitCode = 1;
      } finally {
        clearTimeout(limit);
        group?.stop();
      }
    });
};

async function run(group: DemoGroup): Promise<{ summary: Summary; problems: string[] }> {
  await bootstrap({ cluster: group.file });
  const client = await connect({ cluster: group.file });
  const load = new Load(client, maxOperations);
  const progress = new Progress(load);
  const startedMs = performance.now();
  load.start(lanes);
  try {
    progress.phase = "speculative: one round trip each";
    await sleep(calmMs);
    for (let attempt = 0; attempt < scrambles; attempt++) {
      progress.phase = "requests reach the replicas in different orders";
      client.scramble(true);
      await sleep(scrambledMs);
      client.scramble(false);
      if ((await reports(group)).some((report) => report.counters.rolledBack > 0)) break;
    }
    progress.phase = "healed";
    await sleep(afterwardsMs);
    await load.stop();
  } finally {
    progress.stop();
  }
  const seconds = (performance.now() - startedMs) / 1000;
  const final = await agreement(group, load.completed);
  client.close();
  return { summary: summarize(load, seconds, final.reports, final.agree), problems: [...load.problems, ...final.problems] };
}

function summarize(load: Load, seconds: number, final: ReplicaReport[], digestsAgree: boolean): Summary {
  return {
    committed: load.completed,
    opsPerSecond: Math.round(load.completed / seconds),
    p50Us: load.latenciesUs.getValueAtPercentile(50),
    p99Us: load.latenciesUs.getValueAtPercentile(99),
    reconciliations: Math.max(0, ...final.map(({ counters }) => counters.reconciliations)),
    rolledBack: final.reduce((sum, { counters }) => sum + counters.rolledBack, 0),
    digestsAgree,
  };
}

async function reports(group: DemoGroup, digest = false): Promise<ReplicaReport[]> {
  const answers = await status({ cluster: group.file, digest });
  return answers.filter((report) => report !== undefined);
}

/** Waits until every replica has committed all of its log and ended with the same summary hash and state digest. */
async function agreement(group: DemoGroup, operations: number): Promise<{ reports: ReplicaReport[]; agree: boolean; problems: string[] }> {
  const endMs = performance.now() + agreementMs;
  let last: ReplicaReport[] = [];
  do {
    last = await reports(group, true);
    const [first, ...others] = last;
    const agree =
      last.length === replicas &&
      last.every(
        (report) => report.committed === report.speculative && report.executed === report.speculative && report.digest !== undefined,
      ) &&
      first!.committed >= operations &&
      others.every((report) => report.speculative === first!.speculative && report.hash === first!.hash && report.digest === first!.digest);
    if (agree) return { reports: last, agree, problems: [] };
    await sleep(50);
  } while (performance.now() < endMs);
  const states = last.map(({ id, status: name, view, speculative, committed, hash, digest }) =>
    [
      `replica ${id}`,
      name,
      `view ${view}`,
      `log end ${speculative}`,
      `committed ${committed}`,
      `hash ${hash.slice(0, 12)}`,
      `digest ${digest?.slice(0, 12)}`,
    ].join(", "),
  );
  return { reports: last, agree: false, problems: ["The replicas did not come to agree:", ...states] };
}

/** One line that is rewritten on a terminal, and printed every two seconds elsewhere. */
class Progress {
  phase = "";
  readonly #bar: SingleBar;
  readonly #timer: NodeJS.Timeout;

  constructor(load: Load) {
    const format = "{seconds} s  {committed} committed  {rate} ops/s  p50 {p50} us  p99 {p99} us  {phase}";
    this.#bar = new SingleBar({ format, hideCursor: true, linewrap: false, noTTYOutput: true, notTTYSchedule: 2000 });
    const startedMs = performance.now();
    let before = { completed: 0, atMs: startedMs };
    const figures = () => {
      const atMs = performance.now();
      const { completed, latenciesUs } = load;
      const rate = (1000 * (completed - before.completed)) / Math.max(1, atMs - before.atMs);
      before = { completed, atMs };
      return {
        seconds: ((atMs - startedMs) / 1000).toFixed(1),
        committed: thousands(completed),
        rate: thousands(rate),
        p50: latenciesUs.getValueAtPercentile(50),
        p99: latenciesUs.getValueAtPercentile(99),
        phase: this.phase,
      };
    };
    this.#bar.start(1, 0, figures());
    this.#timer = setInterval(() => this.#bar.update(0, figures()), 250);
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#bar.stop();
  }
}

function describe(summary: Summary): string {
  const { committed, opsPerSecond, p50Us, p99Us, reconciliations, rolledBack, digestsAgree } = summary;
  return [
    `${thousands(committed)} operations committed, ${thousands(opsPerSecond)} a second with ${lanes} outstanding; p50 ${p50Us} us, p99 ${p99Us} us`,
    `${reconciliations} reconciliations, ${thousands(rolledBack)} operations rolled back and executed again; every result verified`,
    digestsAgree ? pc.green("All replicas ended with the same summary hash and state digest.") : pc.red("The replicas did NOT end alike."),
  ].join("\n");
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
