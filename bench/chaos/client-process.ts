import { type Client, connect, SquallError } from "squall";
import { History } from "../../dist/sim/history.js";
import { Prng } from "../../dist/sim/prng.js";
import { OperationSource } from "../../dist/sim/workload.js";
import { answerCalls } from "../children.js";
import { nowMs } from "../clock.js";
import type { ClientHistory, ClientStart } from "./calls.js";
import { decodeResult, idOf } from "./operations.js";

const tickMs = 5;
/** Operations kept under way at most. */
const window = 32;
/** A few operations are larger than a datagram. */
const largeBytes = 40_000;
/** One operation in so many gives up when it takes long: then its outcome is unknown. */
const deadlineOneIn = 8;
const deadlineMs = 2_000;
const connectMs = 60_000;

let start: ClientStart;
let client: Client;
let prng: Prng;
let source: OperationSource;
let history: History;
let refused: Uint8Array;
const failures: Record<string, number> = {};
const wrong: string[] = [];
let outstanding = 0;
let connecting = false;
let ticks: NodeJS.Timeout | undefined;

async function invoke(): Promise<void> {
  const index = source.next(history, 1000 * nowMs(), idOf(start.client, 0));
  outstanding++;
  try {
    const { value, seqno } = decodeResult(await client.invoke(source.bytes, prng.below(deadlineOneIn) === 0 ? { deadlineMs } : undefined));
    history.respond(index, value, 1000 * nowMs(), seqno);
    source.learn(history, index);
  } catch (error) {
    fail(index, error);
  } finally {
    outstanding--;
  }
}

function fail(index: number, error: unknown): void {
  const code = error instanceof SquallError ? error.code : "INTERNAL";
  const outcome = error instanceof SquallError ? error.outcome : "executed";
  failures[code] = (failures[code] ?? 0) + 1;
  if (outcome === "not-executed") refused[index] = 1;
  else if (outcome === "executed" && wrong.length < 10) wrong.push(`client ${start.client}: ${String(error)}`);
}

/** Keeps the pace as long as the window has room: what a fault holds back is not made up for. */
function tick(): void {
  if (client.closed) return void reconnect();
  let due = (start.opsPerSecond * tickMs) / 1000;
  due = Math.floor(due) + (prng.chance(due % 1) ? 1 : 0);
  for (; due > 0 && outstanding < window && history.count < history.capacity; due--) void invoke();
}

async function reconnect(): Promise<void> {
  if (connecting) return;
  connecting = true;
  try {
    client = await connect({ cluster: start.cluster, deadlineMs: connectMs });
  } catch {
    // the next tick tries again
  } finally {
    connecting = false;
  }
}

function record(): ClientHistory {
  const { count } = history;
  return {
    kind: history.kind.slice(0, count),
    object: history.object.slice(0, count),
    argument: history.argument.slice(0, count),
    expected: history.expected.slice(0, count),
    result: history.result.slice(0, count),
    invokedAt: history.invokedAt.slice(0, count),
    respondedAt: history.respondedAt.slice(0, count),
    seqno: history.claimedSeqno.slice(0, count),
    refused: refused.slice(0, count),
    unanswered: outstanding,
    failures,
    wrong,
  };
}

answerCalls({
  async connect(options: ClientStart) {
    start = options;
    prng = new Prng(options.seed, `client ${options.client}`);
    source = new OperationSource(prng.split("operations"), options.client, false, largeBytes);
    history = new History(options.capacity);
    refused = new Uint8Array(options.capacity);
    client = await connect({ cluster: options.cluster, deadlineMs: connectMs });
  },
  begin() {
    ticks = setInterval(tick, tickMs);
  },
  /** Issues no more, waits at most so long for what is under way, and tells what was seen. */
  async finish(drainMs: number) {
    clearInterval(ticks);
    const endMs = performance.now() + drainMs;
    while (outstanding > 0 && performance.now() < endMs) await new Promise((resolve) => setTimeout(resolve, tickMs));
    return record();
  },
});
