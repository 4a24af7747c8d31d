/**
 * The order in which a merge appends the operations that no majority placed: by the earliest position any log gave them (then by
 * replica), except that operations of one session keep the order of the logs where these agree on it.
 */
import type { MergeLog, MergeRow } from "./merge.js";

interface Candidate<Row> {
  row: Row;
  operation: string;
  session: string;
  /** Earliest index in any log, then the lowest replica that has it there. */
  index: number;
  replica: number;
  /** Index per log (by position in the list of logs). */
  at: Map<number, number>;
  after: Set<Candidate<Row>>;
  waitsFor: number;
  emitted: boolean;
}

const SessionBytes = 8;

function earlier<Row>(a: Candidate<Row>, b: Candidate<Row>): number {
  return a.index - b.index || a.replica - b.replica;
}

/** Every operation of the logs that is not in `known`, once. Of two with one identity the first in order stays. */
export function orderOperations<Row extends MergeRow>(logs: readonly MergeLog<Row>[], known: ReadonlySet<string>): Row[] {
  const candidates = collect(logs, known);
  const ordered = [...candidates.values()].sort(earlier);
  const sessions = new Map<string, Candidate<Row>[]>();
  for (const candidate of ordered) {
    const list = sessions.get(candidate.session);
    if (list) list.push(candidate);
    else sessions.set(candidate.session, [candidate]);
  }
  link(logs, candidates);
  const queues = new Map<string, Iterator<Candidate<Row>>>();
  for (const [session, list] of sessions) queues.set(session, sessionOrder(list).values());
  // Each place of the merged order goes to the session that holds it; which of its operations comes there is the session's own order.
  return ordered.map((place) => (queues.get(place.session)?.next().value ?? place).row);
}

function collect<Row extends MergeRow>(logs: readonly MergeLog<Row>[], known: ReadonlySet<string>): Map<string, Candidate<Row>> {
  const candidates = new Map<string, Candidate<Row>>();
  logs.forEach((log, l) => {
    for (let index = 0; index < log.rows.length; index++) {
      const row = log.rows[index] as Row;
      if (known.has(row.operation)) continue;
      const present = candidates.get(row.operation);
      if (!present) {
        candidates.set(row.operation, {
          row,
          operation: row.operation,
          session: row.operation.slice(0, SessionBytes),
          index,
          replica: log.replica,
          at: new Map([[l, index]]),
          after: new Set(),
          waitsFor: 0,
          emitted: false,
        });
        continue;
      }
      if (!present.at.has(l)) present.at.set(l, index);
      // The bytes may differ between logs (a faulty client): the first in merged order wins.
      if (index < present.index || (index === present.index && log.replica < present.replica)) {
        present.row = row;
        present.index = index;
        present.replica = log.replica;
      }
    }
  });
  return candidates;
}

/** Links operations that follow each other within a session in some log, unless another log has them the other way round. */
function link<Row extends MergeRow>(logs: readonly MergeLog<Row>[], candidates: Map<string, Candidate<Row>>): void {
  logs.forEach((log, l) => {
    const latest = new Map<string, Candidate<Row>>();
    for (let index = 0; index < log.rows.length; index++) {
      const candidate = candidates.get((log.rows[index] as Row).operation);
      if (!candidate || candidate.at.get(l) !== index) continue;
      const before = latest.get(candidate.session);
      latest.set(candidate.session, candidate);
      if (!before || before.after.has(candidate) || contradicted(before, candidate)) continue;
      before.after.add(candidate);
      candidate.waitsFor++;
    }
  });
}

function contradicted<Row>(before: Candidate<Row>, after: Candidate<Row>): boolean {
  for (const [log, index] of after.at) {
    const other = before.at.get(log);
    if (other !== undefined && index < other) return true;
  }
  return false;
}

/** A topological order; ties, and circles among three or more logs, are broken by the earliest position. `list` is sorted by it. */
function sessionOrder<Row>(list: Candidate<Row>[]): Candidate<Row>[] {
  const result: Candidate<Row>[] = [];
  let first = 0;
  const ready: Candidate<Row>[] = list.filter((candidate) => candidate.waitsFor === 0);
  let head = 0;
  while (result.length < list.length) {
    let next = head < ready.length ? ready[head++] : undefined;
    while (!next) {
      const candidate = list[first++] as Candidate<Row>;
      if (!candidate.emitted) next = candidate;
    }
    if (next.emitted) continue;
    next.emitted = true;
    result.push(next);
    for (const follower of next.after) {
      if (follower.emitted || --follower.waitsFor > 0) continue;
      // Inserted by position among those that wait.
      let at = ready.length;
      while (at > head && earlier(follower, ready[at - 1] as Candidate<Row>) < 0) at--;
      ready.splice(at, 0, follower);
    }
  }
  return result;
}
