import { type LoadedCluster, sleep, startLoadedCluster, stopLoadedCluster } from "../cluster.js";
import { converge } from "../convergence.js";
import { plot } from "../plot.js";
import { Progress } from "../progress.js";
import { round } from "../statistics.js";
import { residentBytes, slope } from "./memory.js";

export interface EnduranceOptions {
  json: boolean;
  operations: number;
  /** Operations kept outstanding. */
  window: number;
}

interface Sample {
  operations: number;
  /** By replica. */
  megabytes: number[];
}

const sampleMs = 500;
/** Memory may grow in this part of the run: the log's first intervals, pools, the JavaScript heap. */
const warmUpShare = 0.2;
const steps = 100;
const convergeLimitMs = 20_000;
/** A log of the size that users have: it must not fill up, whatever the number of operations. */
const limits = { logEntries: 1 << 20, logBytes: 512 << 20 };
/** Operations that fail one after another end the run. */
const mostFailures = 1_000;

/** Resident memory of the replicas over many operations. */
export async function benchEndurance(options: EnduranceOptions): Promise<number> {
  const running = await startLoadedCluster({ design: "multicast", limits });
  const { cluster, load } = running;
  const progress = new Progress(steps, "endurance");
  const startMs = performance.now();
  await load.begin({ window: options.window, capacity: options.operations + (1 << 20) });
  const samples: Sample[] = [];
  for (let shown = 0; ; ) {
    await sleep(sampleMs);
    const { operations, failed, stopped } = await load.sample();
    samples.push({ operations, megabytes: await residentMegabytes(running) });
    for (; shown < Math.min(steps, Math.floor((operations / options.operations) * steps)); shown++)
      progress.step(`${operations} operations`);
    if (operations >= options.operations || failed > mostFailures || stopped) break;
  }
  const result = await load.finish();
  const seconds = (performance.now() - startMs) / 1000;
  const end = await converge(cluster, convergeLimitMs);
  progress.stop();
  await stopLoadedCluster(running);

  const warm = samples.filter((sample) => sample.operations >= warmUpShare * result.operations);
  const replicas = cluster.replicas.map((_, id) => {
    const of = (sample: Sample) => sample.megabytes[id]!;
    const points = warm.map((sample): [number, number] => [sample.operations / 1e6, of(sample)]);
    return { start: of(warm[0]!), end: of(warm.at(-1)!), most: Math.max(...samples.map(of)), slope: slope(points) };
  });
  const worst = (pick: (replica: (typeof replicas)[number]) => number) => Math.max(...replicas.map(pick));
  const figures = {
    operations: result.operations,
    opsPerSecond: Math.round(result.operations / seconds),
    rssStartMb: replicas.map((replica) => round(replica.start)),
    rssEndMb: replicas.map((replica) => round(replica.end)),
    rssMostMb: round(worst((replica) => replica.most)),
    slopeMbPerMillion: round(
      worst((replica) => replica.slope),
      3,
    ),
    failed: result.failed,
    lost: result.lost,
    duplicated: result.duplicated,
    digestsAgree: end.converged,
  };
  const wrong = [...result.wrong];
  if (result.failed > 0) wrong.push(`${result.failed} operations failed: ${JSON.stringify(result.failures)}`);
  if (result.lost + result.duplicated > 0) wrong.push(`${result.lost} operations lost, ${result.duplicated} executed twice`);
  if (result.operations < options.operations) wrong.push(`ended after ${result.operations} of ${options.operations} operations`);
  if (!end.converged) wrong.push(`replicas differ: ${end.differences}`);

  console.log(`${result.operations} operations in ${round(seconds)} s, ${options.window} outstanding`);
  console.log(`  resident after ${warmUpShare * 100}% of them     ${figures.rssStartMb.join(", ")} MB`);
  console.log(`  resident at the end           ${figures.rssEndMb.join(", ")} MB; most ever ${figures.rssMostMb} MB`);
  console.log(`  growth after that             ${figures.slopeMbPerMillion} MB per million operations, at the replica that grew most`);
  const file = await plotMemory(samples);
  if (file !== undefined) console.log(`  plot: ${file}`);
  for (const what of wrong) console.log(`WRONG: ${what}`);
  if (options.json) console.log(JSON.stringify({ ...figures, wrong: wrong.length }));
  return wrong.length === 0 ? 0 : 1;
}

async function residentMegabytes({ replicas }: LoadedCluster): Promise<number[]> {
  return Promise.all(
    Array.from({ length: replicas.count }, async (_, id) => {
      const pid = replicas.pid(id);
      return pid === undefined ? Number.NaN : (await residentBytes(pid)) / 2 ** 20;
    }),
  );
}

function plotMemory(samples: readonly Sample[]): Promise<string | undefined> {
  const values = samples.flatMap(({ operations, megabytes }) =>
    megabytes.map((value, id) => ({ operations: operations / 1e6, megabytes: value, replica: `replica ${id}` })),
  );
  return plot("endurance", {
    title: "Resident memory of each replica",
    width: 1_000,
    height: 300,
    data: { values },
    mark: { type: "line", strokeWidth: 1.5 },
    encoding: {
      x: { field: "operations", type: "quantitative", title: "million operations" },
      y: { field: "megabytes", type: "quantitative", title: "MB", scale: { zero: true } },
      color: { field: "replica", type: "nominal", title: null },
    },
  });
}
