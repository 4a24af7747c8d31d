import { History, type Kind, NEVER } from "../../dist/sim/history.js";
import { checkLinearizability, type Verdict } from "../../dist/sim/linearizability.js";
import type { ClientHistory, ExecutionsAnswer } from "./calls.js";

export interface Judgement {
  operations: number;
  acknowledged: number;
  /** Operations whose clients do not know the outcome, and how many of these were executed. */
  unknown: number;
  unknownExecuted: number;
  refused: number;
  /** Acknowledged operations that are not in the replicated state, or at another seqno. */
  lost: number;
  /** Operations executed more than once. */
  duplicated: number;
  linearizable: Verdict;
  /** Longest time without a result at any client, and median and 99th percentile of the operations' times. */
  longestGapMs: number;
  p50Ms: number;
  p99Ms: number;
  /** The first few things that are wrong; empty when all is well. */
  violations: string[];
}

const violationsKept = 20;

/**
 * Judges what clients saw against the replicated state at the end, `executions`: a witness for the checker, who needs no
 * search where it holds, since it also knows the place of operations whose clients got no answer.
 */
export function judge(clients: readonly ClientHistory[], executions: ExecutionsAnswer): Judgement {
  const history = new History(clients.reduce((sum, client) => sum + client.kind.length, 0));
  const startUs = clients.reduce((least, client) => Math.min(least, client.invokedAt[0] ?? least), NEVER);
  const violations: string[] = [];
  const violate = (what: string) => {
    if (violations.length < violationsKept) violations.push(what);
  };
  const counts = { acknowledged: 0, unknown: 0, unknownExecuted: 0, refused: 0, lost: 0 };
  clients.forEach((client, number) => {
    for (const what of client.wrong) violate(what);
    const seqnos = executions.seqnos[number] ?? new Uint32Array(0);
    for (let i = client.kind.length; i < seqnos.length; i++) {
      if (seqnos[i] !== 0) violate(`client ${number} never sent its operation ${i}, executed at seqno ${seqnos[i]}`);
    }
    for (let i = 0; i < client.kind.length; i++) {
      const seqno = seqnos[i] ?? 0;
      const index = history.invoke(
        number,
        client.kind[i]! as Kind,
        client.object[i]!,
        client.argument[i]!,
        client.expected[i]!,
        client.invokedAt[i]! - startUs,
      );
      history.claimedSeqno[index] = seqno;
      if (client.respondedAt[i] === NEVER) {
        counts.unknown++;
        if (seqno !== 0) counts.unknownExecuted++;
        if (client.refused[i] === 1) counts.refused++;
        if (client.refused[i] === 1 && seqno !== 0) violate(`executed, though its client was told otherwise: ${history.describe(index)}`);
        continue;
      }
      counts.acknowledged++;
      history.respond(index, client.result[i]!, client.respondedAt[i]! - startUs, seqno);
      if (seqno === client.seqno[i]) continue;
      counts.lost++;
      violate(
        `acknowledged at seqno ${client.seqno[i]} and ${seqno === 0 ? "not in the state" : `in the state at ${seqno}`}: ${history.describe(index)}`,
      );
    }
  });
  if (executions.twice > 0) violate(`${executions.twice} operations were executed twice`);
  const linearizable = checkLinearizability(history);
  if (linearizable.failure) {
    violate(`not linearizable: ${linearizable.failure.object}, ${linearizable.failure.operation}`);
    for (const line of linearizable.failure.around) violate(`  ${line}`);
  }
  return { operations: history.count, ...counts, duplicated: executions.twice, linearizable, ...times(history), violations };
}

function times(history: History): { longestGapMs: number; p50Ms: number; p99Ms: number } {
  const responses = history.respondedAt.slice(0, history.count).filter((at) => at !== NEVER);
  responses.sort();
  let longestUs = 0;
  responses.forEach((at, i) => {
    longestUs = Math.max(longestUs, at - (i === 0 ? 0 : responses[i - 1]!));
  });
  const took = history.respondedAt
    .slice(0, history.count)
    .map((at, i) => at - history.invokedAt[i]!)
    .filter((us) => us !== NEVER)
    .sort();
  const at = (fraction: number) => (took[Math.floor(took.length * fraction)] ?? 0) / 1000;
  return { longestGapMs: longestUs / 1000, p50Ms: at(0.5), p99Ms: at(0.99) };
}
