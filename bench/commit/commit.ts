import type { WaitStrategy } from "squall";
import { freePorts, randomMulticastGroup } from "../cluster-file.js";
import { Progress } from "../progress.js";
import { median, round } from "../statistics.js";
import { temporaryFolder } from "../temporary-folder.js";
import { compileFloor, Floor, type FloorRun } from "./floor.js";
import { Group, type GroupRun } from "./group.js";

export interface CommitOptions {
  json: boolean;
  rounds: number;
  secondsPerRun: number;
  /** Measure also with all processes on one core. */
  pinned: boolean;
  /** Of Squall's processes; the floor always blocks. */
  wait?: WaitStrategy;
}

/** One client process against three, both sides by turns; medians over the rounds. */
interface SideBySide {
  floorP50Us: number;
  p50Us: number;
  latencyRatio: number;
  p99Us: number;
  p999Us: number;
  floorP999Us: number;
  floorOpsPerSecond64: number;
  opsPerSecond64: number;
  throughputRatio: number;
  p999Us64: number;
  /** Processor time for each operation, of a replica or echo process and of the client. */
  replicaCpuUs: number;
  echoCpuUs: number;
  cpuRatio: number;
  clientCpuUs: number;
  floorClientCpuUs: number;
  replicaCpuUs64: number;
  echoCpuUs64: number;
  clientCpuUs64: number;
}

const most = 64;

async function sideBySide(floor: Floor, squall: Group, options: CommitOptions, progress: Progress, label: string): Promise<SideBySide> {
  const floorRuns: Record<number, FloorRun[]> = { 1: [], [most]: [] };
  const squallRuns: Record<number, GroupRun[]> = { 1: [], [most]: [] };
  for (const window of [most, 1]) await squall.run(1, window, Math.min(1, options.secondsPerRun)); // just-in-time compilation
  progress.step(`${label}: warmed up`);
  for (let i = 0; i < options.rounds; i++) {
    for (const window of [1, most]) {
      floorRuns[window]!.push(await floor.run(window, options.secondsPerRun));
      squallRuns[window]!.push(await squall.run(1, window, options.secondsPerRun));
      progress.step(`${label}: ${window} outstanding`);
    }
  }
  const floorOf = (window: number, pick: (run: FloorRun) => number) => median(floorRuns[window]!.map(pick));
  const squallOf = (window: number, pick: (run: GroupRun) => number) => median(squallRuns[window]!.map(pick));
  const floorP50Us = floorOf(1, (run) => run.p50Us);
  const p50Us = squallOf(1, (run) => run.p50Us);
  const floorOpsPerSecond64 = floorOf(most, (run) => run.opsPerSecond);
  const opsPerSecond64 = squallOf(most, (run) => run.opsPerSecond);
  const replicaCpuUs = squallOf(1, (run) => run.replicaCpuUs);
  const echoCpuUs = floorOf(1, (run) => run.echoCpuUs);
  return {
    floorP50Us: round(floorP50Us),
    p50Us: round(p50Us),
    latencyRatio: round(p50Us / floorP50Us, 3),
    p99Us: round(squallOf(1, (run) => run.p99Us)),
    p999Us: round(squallOf(1, (run) => run.p999Us)),
    floorP999Us: round(floorOf(1, (run) => run.p999Us)),
    floorOpsPerSecond64: Math.round(floorOpsPerSecond64),
    opsPerSecond64: Math.round(opsPerSecond64),
    throughputRatio: round(opsPerSecond64 / floorOpsPerSecond64, 2),
    p999Us64: round(squallOf(most, (run) => run.p999Us)),
    replicaCpuUs: round(replicaCpuUs, 2),
    echoCpuUs: round(echoCpuUs, 2),
    cpuRatio: round(replicaCpuUs / echoCpuUs, 2),
    clientCpuUs: round(
      squallOf(1, (run) => run.clientCpuUs),
      2,
    ),
    floorClientCpuUs: round(
      floorOf(1, (run) => run.clientCpuUs),
      2,
    ),
    replicaCpuUs64: round(
      squallOf(most, (run) => run.replicaCpuUs),
      3,
    ),
    echoCpuUs64: round(
      floorOf(most, (run) => run.echoCpuUs),
      3,
    ),
    clientCpuUs64: round(
      squallOf(most, (run) => run.clientCpuUs),
      3,
    ),
  };
}

/** Four client processes, 16 outstanding each, under the design that orders requests and the one that does not. */
async function manyClients(multicast: Group, serialized: Group, options: CommitOptions, progress: Progress) {
  const runs = { multicast: [] as GroupRun[], serialized: [] as GroupRun[] };
  const groups = { multicast, serialized };
  const before = { multicast: multicast.last?.reconciliations ?? 0, serialized: serialized.last?.reconciliations ?? 0 };
  for (let i = 0; i < options.rounds; i++) {
    for (const design of ["multicast", "serialized"] as const) {
      runs[design].push(await groups[design].run(4, 16, options.secondsPerRun));
      progress.step(`four clients: ${design}`);
    }
  }
  const speed = (design: "multicast" | "serialized") => Math.round(median(runs[design].map((run) => run.opsPerSecond)));
  const reorderRate = (design: "multicast" | "serialized") => {
    const operations = runs[design].reduce((total, run) => total + run.operations, 0);
    const mismatches = runs[design].reduce((total, run) => total + run.mismatches, 0);
    return round(mismatches / operations, 5);
  };
  return {
    serializedOpsPerSecond: speed("serialized"),
    multicastOpsPerSecond4: speed("multicast"),
    serializedReconciliations: (serialized.last?.reconciliations ?? 0) - before.serialized,
    multicastReconciliations: (multicast.last?.reconciliations ?? 0) - before.multicast,
    reorderRate: reorderRate("serialized"),
    multicastReorderRate: reorderRate("multicast"),
    serializedP999Us: round(median(runs.serialized.map((run) => run.p999Us))),
    multicastP999Us4: round(median(runs.multicast.map((run) => run.p999Us))),
  };
}

function print(title: string, side: SideBySide): void {
  const cpu = `processor time an operation: replica ${side.replicaCpuUs}, client ${side.clientCpuUs} us;`;
  console.log(`\n${title}`);
  console.log(`  one outstanding   floor p50 ${side.floorP50Us} us, p99.9 ${side.floorP999Us} us`);
  console.log(
    `                    squall p50 ${side.p50Us} us, p99 ${side.p99Us} us, p99.9 ${side.p999Us} us: ${side.latencyRatio} times the floor`,
  );
  console.log(
    `                    ${cpu} echo ${side.echoCpuUs}, its client ${side.floorClientCpuUs} us: replica ${side.cpuRatio} times the echo`,
  );
  console.log(`  ${most} outstanding    floor ${side.floorOpsPerSecond64} op/s`);
  console.log(`                    squall ${side.opsPerSecond64} op/s, p99.9 ${side.p999Us64} us: ${side.throughputRatio} times the floor`);
  console.log(
    `                    processor time an operation: replica ${side.replicaCpuUs64}, client ${side.clientCpuUs64} us; echo ${side.echoCpuUs64} us`,
  );
}

/** A protocol and the floor of its round trips: two where a leader asks the others first, else one. */
export async function benchProtocol(options: CommitOptions & { protocol: string }): Promise<number> {
  const { protocol } = options;
  const folder = temporaryFolder();
  const progress = new Progress(1 + 2 * options.rounds, protocol);
  const [port, leaderPort] = (await freePorts(2)) as [number, number];
  const where = { group: randomMulticastGroup(), port, lifetimeSeconds: 60 + Math.ceil(8 * options.rounds * options.secondsPerRun) };
  const program = compileFloor(folder);
  const twoRoundTrips = protocol.startsWith("paxos");
  const floor = twoRoundTrips ? await Floor.startTwoRoundTrips(program, { ...where, leaderPort }) : await Floor.start(program, where);
  const group = await Group.start({
    folder,
    name: protocol,
    design: "multicast",
    clients: 1,
    protocol,
    ...(options.wait && { wait: options.wait }),
  });
  const side = await sideBySide(floor, group, options, progress, protocol);
  group.stop();
  progress.stop();
  print(
    `${protocol}, one client process, three replica processes; the floor takes ${twoRoundTrips ? "two round trips" : "one round trip"}`,
    side,
  );
  for (const what of group.wrong.slice(0, 10)) console.log(`WRONG: ${what}`);
  if (options.json)
    console.log(JSON.stringify({ protocol, ...side, digestsAgree: group.last?.digestsAgree === true, wrong: group.wrong.length }));
  return group.wrong.length === 0 ? 0 : 1;
}

/** Measures floor and Squall in one run. The exit status says whether results were right, never how fast they came. */
export async function benchCommit(options: CommitOptions): Promise<number> {
  const folder = temporaryFolder();
  const program = compileFloor(folder);
  const steps = (options.pinned ? 2 : 1) * (1 + options.rounds * 2) + options.rounds * 2;
  const progress = new Progress(steps, "commit");
  const lifetimeSeconds = 60 + Math.ceil(steps * options.secondsPerRun * 4);
  const groups: Group[] = [];
  const { wait } = options;

  const startFloor = async (cpu?: number) => {
    const [port] = await freePorts(1);
    return Floor.start(program, { group: randomMulticastGroup(), port: port!, lifetimeSeconds, ...(cpu !== undefined && { cpu }) });
  };
  const startGroup = async (name: string, design: "multicast" | "serialized", clients: number, launcher?: string[]) => {
    const group = await Group.start({ folder, name, design, clients, ...(wait && { wait }), ...(launcher && { launcher }) });
    groups.push(group);
    return group;
  };

  const squall = await startGroup("unpinned", "multicast", 1);
  const unpinned = await sideBySide(await startFloor(), squall, options, progress, "unpinned");
  squall.stop();
  const serialized = await startGroup("serialized", "serialized", 4);
  const multicast = await startGroup("multicast", "multicast", 4);
  const many = await manyClients(multicast, serialized, options, progress);
  serialized.stop();
  multicast.stop();
  let pinned: SideBySide | undefined;
  if (options.pinned) {
    const onOneCore = await startGroup("pinned", "multicast", 1, [program, "exec", "--cpu", "0", "--"]);
    pinned = await sideBySide(await startFloor(0), onOneCore, options, progress, "one core");
    onOneCore.stop();
  }
  progress.stop();

  const wrong = groups.flatMap((group) => group.wrong);
  const failures = groups.flatMap((group) => group.failures);
  const commitLagMs = round(Math.max(...squall.commitLagsMs), 2);
  const waiting = wait === undefined ? "" : `, wait: ${wait}`;
  print(`One client process, three replica processes, no affinity${waiting}`, unpinned);
  if (pinned) print(`The same, every process on one core${waiting}`, pinned);
  console.log("\nFour client processes, 16 outstanding each");
  console.log(
    `  serialized        ${many.serializedOpsPerSecond} op/s, ${many.serializedReconciliations} reconciliations, reorder rate ${many.reorderRate}`,
  );
  console.log(
    `  multicast         ${many.multicastOpsPerSecond4} op/s, ${many.multicastReconciliations} reconciliations, reorder rate ${many.multicastReorderRate}`,
  );
  console.log(`\nThe log's end was committed at most ${commitLagMs} ms after the last reply.`);
  for (const failure of failures.slice(0, 5)) console.log(`not answered: ${failure}`);
  for (const what of wrong.slice(0, 10)) console.log(`WRONG: ${what}`);
  if (options.json) {
    const { p999Us, ...rest } = unpinned;
    const digestsAgree = groups.every((group) => group.last?.digestsAgree === true);
    const pinnedFields = pinned && { pinned };
    console.log(
      JSON.stringify({
        wait: wait ?? "block",
        ...rest,
        p999Us,
        digestsAgree,
        ...many,
        commitLagMs,
        failed: failures.length,
        wrong: wrong.length,
        ...pinnedFields,
      }),
    );
  }
  return wrong.length === 0 ? 0 : 1;
}
