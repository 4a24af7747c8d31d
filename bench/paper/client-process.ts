import { bootstrap, type Client, connect } from "squall";
import { answerCalls } from "../children.js";
import { ResultChecker } from "../commit/results.js";
import { settle } from "../commit/settle.js";
import { operationBytes } from "../machines/counter.js";
import { usage, usageSince } from "../usage.js";
import type { ClientOutcome, ClientsStart, ClosedRun, OpenRun, Preparation } from "./calls.js";
import { type Outcome, runClosed } from "./closed-loop.js";
import { encodeHistogram } from "./latencies.js";
import { Metronome } from "./metronome.js";
import { runOpen } from "./open-loop.js";

const maxOperations = 8 << 20;
const connectedAtOnce = 16;
/** The first session of a process can have all outstanding that an experiment wants; the others one operation, and they share sockets. */
const laterWindow = 8;
const connectLimitMs = 30_000;

const addNothing = Buffer.alloc(operationBytes);
const checker = new ResultChecker(maxOperations);
/** Sessions; as many as any run so far needed. */
const clients: Client[] = [];
let metronome: Metronome | undefined;
let cluster: string;
let lastReplyMs = 0;

/** A session that has had an operation answered: its round-trip time is known. */
async function newSession(window?: number): Promise<Client> {
  const client = await connect({ cluster, deadlineMs: connectLimitMs, ...(window !== undefined && { window }) });
  await client.invoke(addNothing);
  return client;
}

async function sessions(count: number): Promise<Client[]> {
  while (clients.length < count) {
    const some = Math.min(connectedAtOnce, count - clients.length);
    clients.push(
      ...(await Promise.all(
        Array.from({ length: some }, (_, index) => newSession(clients.length + index === 0 ? undefined : laterWindow)),
      )),
    );
  }
  return clients.slice(0, count);
}

async function measure<Its extends Outcome>(
  { base, startAtMs }: { base: number; startAtMs: number },
  used: readonly Client[],
  run: () => Promise<Its>,
): Promise<{ outcome: Its; figures: ClientOutcome }> {
  checker.start(base);
  const mismatches = () => used.reduce((sum, client) => sum + client.metrics().mismatches, 0);
  const mismatchesBefore = mismatches();
  await new Promise((resolve) => setTimeout(resolve, Math.max(0, startAtMs - Date.now())));
  const usageBefore = usage();
  const startMs = performance.now();
  const outcome = await run();
  lastReplyMs = Math.max(startMs, outcome.lastReplyMs);
  const figures: ClientOutcome = {
    operations: checker.count,
    opsPerSecond: (checker.count * 1000) / Math.max(1, lastReplyMs - startMs),
    histogram: encodeHistogram(outcome.latencies),
    seen: checker.bits(),
    failed: outcome.failed,
    failures: outcome.failures,
    wrong: [...checker.wrong],
    mismatches: mismatches() - mismatchesBefore,
    usage: usageSince(usageBefore),
  };
  return { outcome, figures };
}

answerCalls({
  async bootstrap(options: ClientsStart) {
    await bootstrap({ cluster: options.cluster });
  },
  async start(options: ClientsStart) {
    cluster = options.cluster;
    await sessions(1);
  },
  /** Connects or starts what the next run needs, so that no run pays for it. */
  async prepare({ sessions: count, open }: Preparation) {
    await sessions(count);
    if (open) metronome ??= await Metronome.start();
  },
  /** The counter's value. */
  async read() {
    return (await clients[0]!.invoke(addNothing)).readDoubleLE(0);
  },
  async closed(run: ClosedRun): Promise<ClientOutcome> {
    const used = await sessions(run.sessions);
    return (await measure(run, used, () => runClosed(used, run, checker))).figures;
  },
  async open(run: OpenRun): Promise<ClientOutcome> {
    const used = await sessions(1);
    const { outcome, figures } = await measure(run, used, () => runOpen(used[0]!, metronome!, run, checker));
    return { ...figures, scheduled: outcome.scheduled, notOffered: outcome.notOffered, lateP50Us: outcome.lateP50Us };
  },
  settle: () => settle(cluster, lastReplyMs),
});
