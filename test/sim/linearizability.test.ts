import { describe, expect, it } from "vitest";
import { EMPTY, History, Kind, NEVER, ObjectType, typeOfKind } from "../../src/sim/history.js";
import { checkLinearizability } from "../../src/sim/linearizability.js";
import { modelOf } from "../../src/sim/models.js";
import { Prng } from "../../src/sim/prng.js";

type Row = [
  kind: Kind,
  argument: number,
  result: number | undefined,
  invokedAt: number,
  respondedAt?: number,
  options?: { object?: number; expected?: number; seqno?: number },
];

/** A history of rows; an undefined result is an unknown outcome. */
function historyOf(rows: Row[]): History {
  const history = new History(rows.length);
  for (const [kind, argument, , invokedAt, , options] of rows)
    history.invoke(0, kind, options?.object ?? 0, argument, options?.expected ?? 0, invokedAt);
  rows.forEach(([, , result, , respondedAt, options], index) => {
    if (result !== undefined && respondedAt !== undefined) history.respond(index, result, respondedAt, options?.seqno ?? 0);
    else history.claimedSeqno[index] = options?.seqno ?? 0;
  });
  return history;
}

const { Read, Write, CompareAndSet, Add, Enqueue, Dequeue } = Kind;

describe("histories that are not linearizable", () => {
  const cases: Record<string, Row[]> = {
    "a stale read": [
      [Write, 1, 0, 0, 1],
      [Write, 2, 0, 2, 3],
      [Read, 0, 1, 4, 5],
    ],
    "a read of the initial value after a write": [
      [Write, 1, 0, 0, 1],
      [Read, 0, 0, 2, 3],
    ],
    "a lost write": [
      [Write, 7, 0, 0, 1],
      [Read, 0, 7, 2, 3],
      [Read, 0, 0, 4, 5],
    ],
    "a read of a value never written": [
      [Write, 1, 0, 0, 10],
      [Read, 0, 5, 0, 10],
    ],
    "new then old value under one concurrent write": [
      [Write, 1, 0, 0, 10],
      [Read, 0, 1, 1, 2],
      [Read, 0, 0, 3, 4],
    ],
    "readers that see two concurrent writes in different orders": [
      [Write, 1, 0, 0, 10],
      [Write, 2, 0, 0, 10],
      [Read, 0, 1, 11, 12],
      [Read, 0, 2, 13, 14],
    ],
    "two compare-and-sets that both win": [
      [CompareAndSet, 1, 1, 0, 5],
      [CompareAndSet, 2, 1, 0, 5],
      [Read, 0, 2, 6, 7],
    ],
    "a compare-and-set that fails though nothing interfered": [
      [Write, 3, 0, 0, 1],
      [CompareAndSet, 4, 0, 2, 3, { expected: 3 }],
    ],
    "a duplicated addition": [
      [Add, 1, 1, 0, 1],
      [Add, 1, 3, 2, 3],
    ],
    "a lost addition": [
      [Add, 5, 5, 0, 1],
      [Add, 5, 5, 2, 3],
    ],
    "additions in an order against real time": [
      [Add, 1, 2, 0, 1],
      [Add, 1, 1, 2, 3],
    ],
    "two additions with one result": [
      [Add, 2, 2, 0, 9],
      [Add, 2, 2, 0, 9],
    ],
    "a duplicated dequeue": [
      [Enqueue, 1, 0, 0, 1],
      [Dequeue, 0, 1, 2, 5],
      [Dequeue, 0, 1, 2, 5],
    ],
    "a dequeue of a value never enqueued": [
      [Enqueue, 1, 0, 0, 1],
      [Dequeue, 0, 9, 2, 3],
    ],
    "a dequeue before its enqueue": [
      [Dequeue, 0, 1, 0, 1],
      [Enqueue, 1, 0, 2, 3],
    ],
    "last in, first out": [
      [Enqueue, 1, 0, 0, 1],
      [Enqueue, 2, 0, 2, 3],
      [Dequeue, 0, 2, 4, 5],
      [Dequeue, 0, 1, 6, 7],
    ],
    "an empty queue that is not": [
      [Enqueue, 1, 0, 0, 1],
      [Dequeue, 0, EMPTY, 2, 3],
      [Dequeue, 0, 1, 4, 5],
    ],
    "a lost element": [
      [Enqueue, 1, 0, 0, 1],
      [Enqueue, 2, 0, 2, 3],
      [Dequeue, 0, 2, 4, 5],
    ],
    "an unknown write seen, then unseen": [
      [Write, 1, undefined, 0],
      [Read, 0, 1, 2, 3],
      [Read, 0, 0, 4, 5],
    ],
    "an unknown write seen before its invocation": [
      [Read, 0, 1, 0, 1],
      [Write, 1, undefined, 2],
    ],
    "an unknown addition that counts twice": [
      [Add, 1, undefined, 0],
      [Add, 10, 12, 2, 3],
    ],
    "an unknown dequeue that takes two elements": [
      [Enqueue, 1, 0, 0, 1],
      [Enqueue, 2, 0, 2, 3],
      [Dequeue, 0, undefined, 4],
      [Dequeue, 0, EMPTY, 6, 7],
    ],
    "a claimed order that is against real time": [
      [Add, 1, 2, 0, 1, { seqno: 2 }],
      [Add, 1, 1, 2, 3, { seqno: 1 }],
    ],
    "a claimed order in which two operations share a place": [
      [Add, 1, 1, 0, 5, { seqno: 1 }],
      [Add, 1, 1, 0, 5, { seqno: 1 }],
    ],
    "a fault in one object of several": [
      [Write, 1, 0, 0, 1, { object: 1 }],
      [Read, 0, 1, 2, 3, { object: 1 }],
      [Write, 1, 0, 0, 1, { object: 2 }],
      [Read, 0, 0, 2, 3, { object: 2 }],
    ],
  };
  for (const [name, rows] of Object.entries(cases)) {
    it(name, () => {
      const verdict = checkLinearizability(historyOf(rows));
      expect(verdict).toMatchObject({ linearizable: false, decided: true });
      expect(verdict.failure?.operation).toMatch(/client 0/);
      expect(bruteForce(historyOf(rows))).toBe(false);
    });
  }
});

describe("histories that are linearizable", () => {
  const cases: Record<string, Row[]> = {
    "nothing at all": [],
    "a read that is concurrent with a write sees either": [
      [Write, 1, 0, 0, 10],
      [Read, 0, 0, 1, 9],
      [Read, 0, 1, 2, 8],
    ],
    "operations that touch are concurrent": [
      [Write, 1, 0, 0, 5],
      [Read, 0, 0, 5, 6],
    ],
    "an unknown write that never took effect": [
      [Write, 1, undefined, 0],
      [Read, 0, 0, 2, 3],
    ],
    "an unknown write that takes effect late": [
      [Write, 1, undefined, 0],
      [Read, 0, 0, 2, 3],
      [Write, 2, 0, 4, 5],
      [Read, 0, 1, 6, 7],
    ],
    "an unknown dequeue": [
      [Enqueue, 1, 0, 0, 1],
      [Enqueue, 2, 0, 2, 3],
      [Dequeue, 0, undefined, 4],
      [Dequeue, 0, 2, 6, 7],
    ],
    "concurrent enqueues taken in either order": [
      [Enqueue, 1, 0, 0, 9],
      [Enqueue, 2, 0, 0, 9],
      [Dequeue, 0, 2, 10, 11],
      [Dequeue, 0, 1, 12, 13],
    ],
    "a wrong claim about a good history": [
      [Add, 1, 1, 0, 1, { seqno: 2 }],
      [Add, 1, 2, 2, 3, { seqno: 1 }],
    ],
  };
  for (const [name, rows] of Object.entries(cases)) {
    it(name, () => {
      expect(checkLinearizability(historyOf(rows))).toMatchObject({ linearizable: true, decided: true });
      expect(bruteForce(historyOf(rows))).toBe(true);
    });
  }
});

it("agrees with brute force on small random histories", () => {
  const prng = new Prng(1, "differential");
  const seen = { yes: 0, no: 0 };
  for (let round = 0; round < 6_000; round++) {
    const history = randomHistory(prng, prng.pick([ObjectType.Register, ObjectType.Counter, ObjectType.Queue]));
    const expected = bruteForce(history);
    seen[expected ? "yes" : "no"]++;
    const verdict = checkLinearizability(history);
    const searched = checkLinearizability(history, { witness: false });
    if (verdict.linearizable !== expected || searched.linearizable !== expected) {
      throw new Error(`expected ${expected}:\n${Array.from({ length: history.count }, (_, i) => history.describe(i)).join("\n")}`);
    }
  }
  expect(seen.yes).toBeGreaterThan(1_000);
  expect(seen.no).toBeGreaterThan(1_000);
});

it("searches a good history of 4,000 operations without a witness, and notices one changed result in it", () => {
  const prng = new Prng(2, "long");
  const history = simulatedHistory(prng, 4_000, 8);
  expect(checkLinearizability(history, { witness: false })).toMatchObject({ linearizable: true, decided: true, searched: 9 });
  expect(checkLinearizability(history)).toMatchObject({ linearizable: true, searched: 0 });
  let noticed = 0;
  for (let round = 0; round < 30; round++) {
    const index = prng.below(history.count);
    if (history.kind[index] === Kind.Write || history.kind[index] === Kind.Enqueue) continue;
    const result = history.result[index]!;
    history.result[index] = history.kind[index] === Kind.CompareAndSet ? 1 - result : result + 1_000_000;
    const verdict = checkLinearizability(history, { maxSteps: 100_000 });
    expect(verdict.linearizable).toBe(false);
    expect(verdict.searched).toBe(1);
    noticed++;
    history.result[index] = result;
  }
  expect(noticed).toBeGreaterThan(5);
});

/** All orders of all choices of unknown operations, one by one. */
function bruteForce(history: History): boolean {
  const byObject = new Map<string, number[]>();
  for (let i = 0; i < history.count; i++) {
    const key = `${typeOfKind[history.kind[i]!]}/${history.object[i]}`;
    byObject.set(key, [...(byObject.get(key) ?? []), i]);
  }
  return [...byObject.values()].every((operations) => {
    const type = typeOfKind[history.kind[operations[0]!]!]!;
    const unknown = operations.filter((i) => history.respondedAt[i] === NEVER);
    const known = operations.filter((i) => history.respondedAt[i] !== NEVER);
    for (let mask = 0; mask < 1 << unknown.length; mask++) {
      if (somePermutation([...known, ...unknown.filter((_, bit) => mask & (1 << bit))], [], type)) return true;
    }
    return false;
  });

  function somePermutation(rest: number[], order: number[], type: ObjectType): boolean {
    if (rest.length === 0) return explains(order, type);
    return rest.some((index, at) =>
      somePermutation(
        rest.filter((_, i) => i !== at),
        [...order, index],
        type,
      ),
    );
  }

  function explains(order: number[], type: ObjectType): boolean {
    for (let i = 0; i < order.length; i++) {
      for (let j = i + 1; j < order.length; j++) {
        if (history.respondedAt[order[j]!]! < history.invokedAt[order[i]!]!) return false;
      }
    }
    const model = modelOf(type);
    return order.every((index) => {
      const result = model.apply(history, index);
      return history.respondedAt[index] === NEVER || result === history.result[index];
    });
  }
}

/** Up to six operations of one object with plausible results, linearizable or not. */
function randomHistory(prng: Prng, type: ObjectType): History {
  const count = prng.between(2, 6);
  const history = new History(count);
  const kinds = {
    [ObjectType.Register]: [Read, Write, CompareAndSet],
    [ObjectType.Counter]: [Add],
    [ObjectType.Queue]: [Enqueue, Dequeue],
  }[type];
  const length = prng.between(2, 12);
  for (let i = 0; i < count; i++) {
    const kind = prng.pick(kinds);
    const argument = kind === Add ? prng.between(1, 2) : kind === Enqueue ? i + 1 : prng.between(0, 2);
    history.invoke(i, kind, 0, argument, prng.between(0, 2), prng.below(length));
    if (prng.chance(0.2)) continue;
    const result =
      kind === Read
        ? prng.between(0, 2)
        : kind === CompareAndSet
          ? prng.below(2)
          : kind === Add
            ? prng.between(1, 2 * count)
            : kind === Dequeue
              ? prng.pick([EMPTY, ...Array.from({ length: count }, (_, n) => n + 1)])
              : 0;
    history.respond(i, result, history.invokedAt[i]! + prng.below(6), prng.chance(0.5) ? prng.between(1, 9) : 0);
  }
  // Half of the histories get the results of some real order, so that enough are linearizable.
  if (prng.chance(0.6)) {
    const model = modelOf(type);
    const order = Array.from({ length: count }, (_, i) => i).sort((a, b) => history.invokedAt[a]! - history.invokedAt[b]! || a - b);
    for (const index of order) {
      if (history.respondedAt[index] !== NEVER) history.result[index] = model.apply(history, index);
      else if (prng.chance(0.5)) model.apply(history, index);
    }
  }
  return history;
}

/** A history of clients that work on three objects of each type, each operation taking effect somewhere inside its interval. */
function simulatedHistory(prng: Prng, count: number, clients: number): History {
  const history = new History(count);
  const models = new Map<string, ReturnType<typeof modelOf>>();
  const freeAt = new Array<number>(clients).fill(0);
  const effects: { at: number; index: number; respondedAt: number }[] = [];
  for (let i = 0; i < count; i++) {
    const client = freeAt.indexOf(Math.min(...freeAt));
    const invokedAt = freeAt[client]! + prng.below(20);
    const respondedAt = invokedAt + prng.between(1, 60);
    freeAt[client] = respondedAt + 1;
    const kind = prng.pick([Read, Write, CompareAndSet, Add, Enqueue, Dequeue, Dequeue]);
    const index = history.invoke(
      client,
      kind,
      prng.below(3),
      kind === Write || kind === CompareAndSet ? prng.below(5) : i + 1,
      prng.below(5),
      invokedAt,
    );
    effects.push({ at: invokedAt + prng.unit() * (respondedAt - invokedAt), index, respondedAt });
  }
  effects.sort((a, b) => a.at - b.at);
  effects.forEach(({ index, respondedAt }, place) => {
    const key = `${typeOfKind[history.kind[index]!]}/${history.object[index]}`;
    if (!models.has(key)) models.set(key, modelOf(typeOfKind[history.kind[index]!]!));
    history.respond(index, models.get(key)!.apply(history, index), respondedAt, place + 1);
  });
  return history;
}

describe("reads outside the log", () => {
  /** Writes at seqnos 1 and 2, then reads that claim places behind them. */
  const withReads = (...reads: [result: number, place: number, invokedAt: number, respondedAt: number][]) => {
    const history = historyOf([
      [Write, 1, 0, 0, 1, { seqno: 1 }],
      [Write, 2, 0, 4, 9, { seqno: 2 }],
      ...reads.map(([result, place, invokedAt, respondedAt]): Row => [Read, 0, result, invokedAt, respondedAt, { seqno: place + 0.5 }]),
    ]);
    history.unlogged.fill(1, 2);
    return checkLinearizability(history);
  };

  it("share a place in the claimed order, whatever the order of their ends", () => {
    expect(withReads([1, 1, 2, 8], [1, 1, 3, 4], [2, 2, 5, 6], [2, 2, 5, 7])).toMatchObject({ linearizable: true, searched: 0 });
  });

  it("are judged like all others where their places do not hold", () => {
    expect(withReads([1, 2, 2, 3])).toMatchObject({ linearizable: true, searched: 1 });
    expect(withReads([2, 2, 5, 6], [1, 1, 7, 8])).toMatchObject({ linearizable: false });
    expect(withReads([1, 1, 10, 11])).toMatchObject({ linearizable: false });
  });
});
