import { createHash } from "node:crypto";
import { describe, expect, it } from "vitest";
import { History, Kind, NEVER } from "../../src/sim/history.js";
import { ModelMachine } from "../../src/sim/model-machine.js";
import { encodeOperation, OPERATION_BYTES, readResult } from "../../src/sim/operation.js";
import { Oracle, type ReplicaView } from "../../src/sim/oracle.js";

const ID_OFFSET = 1;

/** Replicas whose logs a test writes by hand; each entry is an index of the history. */
class HandWritten {
  readonly oracle = new Oracle();
  readonly history = new History(64);
  private readonly logs: number[][] = [];
  private readonly machines: ModelMachine[] = [];
  private requests: number[] = [];

  constructor(replicas = 2) {
    for (let replica = 0; replica < replicas; replica++) {
      this.logs.push([]);
      this.machines.push(new ModelMachine(this.oracle.witnessFor(replica, () => this.view(replica))));
    }
  }

  /** An addition of one to counter 0. Operations of one client have ascending request numbers unless told otherwise. */
  invoke(client = 0, request = this.history.count): number {
    this.requests.push(request);
    return this.history.invoke(client, Kind.Add, 0, 1, 0, this.history.count);
  }

  execute(replica: number, index: number, bytes = this.bytes(index)): number {
    this.logs[replica]!.push(index);
    return readResult(this.machines[replica]!.speculativelyExecute(this.logs[replica]!.length, bytes))!;
  }

  rollBack(replica: number, toSeqno: number): void {
    const log = this.logs[replica]!;
    const gone = log.splice(toSeqno);
    const seqnos = gone.map((_, i) => toSeqno + 1 + i).reverse();
    this.machines[replica]!.rollback(toSeqno + gone.length, toSeqno, gone.map((index) => this.bytes(index)).reverse(), seqnos);
  }

  commit(replica: number, seqno = this.logs[replica]!.length): void {
    this.machines[replica]!.commit(seqno);
  }

  /** The client of `index` got this result. */
  accept(index: number, result: number, seqno: number): void {
    this.history.respond(index, result, this.history.count, seqno);
    this.oracle.accepted(index + ID_OFFSET, seqno);
  }

  bytes(index: number): Buffer {
    const bytes = Buffer.alloc(OPERATION_BYTES);
    encodeOperation(bytes, {
      kind: Kind.Add,
      object: 0,
      client: this.history.client[index]!,
      id: index + ID_OFFSET,
      argument: 1,
      expected: 0,
    });
    return bytes;
  }

  finish(ordered: number[] = [], states = this.machines.map((machine) => machine.state())): string[] {
    this.oracle.finish(this.history, ID_OFFSET, new Set(ordered), states);
    return this.oracle.violations.map(({ what }) => what);
  }

  private view(replica: number): ReplicaView {
    const log = this.logs[replica]!;
    const hashAt = (seqno: number) => createHash("sha256").update(log.slice(0, seqno).join()).digest();
    return {
      hashAt,
      suffixRows: (from, to) =>
        Buffer.concat(
          log.slice(from - 1, to).map((index, i) => {
            const row = Buffer.alloc(48);
            hashAt(from + i).copy(row);
            row.writeUInt32LE(this.history.client[index]!, 32);
            row.writeUInt32LE(this.requests[index]!, 40);
            return row;
          }),
        ),
      logBase: () => 0,
    };
  }
}

it("has nothing against equal logs, a rollback of what was not committed, and a replica that is behind", () => {
  const run = new HandWritten(3);
  const [a, b, c] = [run.invoke(), run.invoke(1), run.invoke(2)];
  run.execute(0, a);
  run.execute(1, b);
  run.rollBack(1, 0);
  for (const replica of [1, 2]) run.execute(replica, a);
  for (const replica of [0, 1, 2]) run.commit(replica);
  run.execute(0, c);
  run.commit(0);
  run.accept(a, 1, 1);
  run.accept(c, 2, 2);
  expect(run.finish([0, 1, 2], [])).toEqual([]);
  expect(run.history.respondedAt[b]).toBe(NEVER);
});

it("marks where an operation with unknown outcome was committed", () => {
  const run = new HandWritten();
  const a = run.invoke();
  for (const replica of [0, 1]) run.execute(replica, a);
  for (const replica of [0, 1]) run.commit(replica);
  expect(run.finish()).toEqual([]);
  expect(run.history.claimedSeqno[a]).toBe(1);
});

describe("reports", () => {
  const cases: Record<string, [RegExp, (run: HandWritten) => string[]]> = {
    "two replicas that commit different operations": [
      /another replica/,
      (run) => {
        run.execute(0, run.invoke());
        run.execute(1, run.invoke());
        run.commit(0);
        run.commit(1);
        return run.finish();
      },
    ],
    "one operation with different bytes": [
      /other bytes/,
      (run) => {
        const a = run.invoke();
        run.execute(0, a);
        const altered = run.bytes(a);
        altered[OPERATION_BYTES - 1] = 1;
        run.execute(1, a, altered);
        run.commit(0);
        run.commit(1);
        return run.finish();
      },
    ],
    "a rollback of a committed operation": [
      /below the committed/,
      (run) => {
        run.execute(0, run.invoke());
        run.commit(0);
        run.rollBack(0, 0);
        return run.finish();
      },
    ],
    "a committed log that changes": [
      /differs from what was committed first/,
      (run) => {
        const [a, b] = [run.invoke(), run.invoke()];
        run.execute(0, a);
        run.commit(0);
        run.rollBack(0, 0);
        run.execute(0, b);
        return run.finish();
      },
    ],
    "an accepted operation that is not committed": [
      /not in the committed history/,
      (run) => {
        run.accept(run.invoke(), 1, 1);
        return run.finish();
      },
    ],
    "an accepted operation in another place": [
      /a client accepted/,
      (run) => {
        const [a, b] = [run.invoke(), run.invoke()];
        run.accept(b, 1, 1);
        run.execute(0, a);
        run.execute(0, b);
        run.commit(0);
        return run.finish();
      },
    ],
    "two operations accepted at one seqno": [
      /at one seqno/,
      (run) => {
        run.accept(run.invoke(), 1, 1);
        run.accept(run.invoke(), 1, 1);
        return run.finish();
      },
    ],
    "a request executed twice": [
      /executed twice/,
      (run) => {
        const a = run.invoke();
        run.execute(0, a);
        run.execute(0, a);
        run.commit(0);
        return run.finish();
      },
    ],
    "a result that a replay does not give": [
      /a replay gives 1/,
      (run) => {
        const a = run.invoke();
        run.execute(0, a);
        run.commit(0);
        run.accept(a, 7, 1);
        return run.finish();
      },
    ],
    "a state that a replay does not give": [
      /state differs/,
      (run) => {
        run.execute(0, run.invoke());
        run.commit(0);
        return run.finish([], [new ModelMachine().snapshot()]);
      },
    ],
    "an ordered session executed out of order": [
      /ordered client 0/,
      (run) => {
        const [a, b] = [run.invoke(), run.invoke()];
        run.execute(0, b);
        run.execute(0, a);
        run.commit(0);
        return run.finish([0]);
      },
    ],
    "an ordered session with a gap": [
      /ordered client 0/,
      (run) => {
        run.invoke();
        run.execute(0, run.invoke());
        run.commit(0);
        return run.finish([0]);
      },
    ],
    "an operation that was refused and is committed": [
      /told that it is not executed/,
      (run) => {
        const a = run.invoke();
        run.oracle.refused(a + ID_OFFSET);
        run.execute(0, a);
        run.commit(0);
        return run.finish();
      },
    ],
    "an operation nobody sent": [
      /nobody sent/,
      (run) => {
        const a = run.invoke();
        run.execute(0, a);
        run.history.count = 0;
        run.commit(0);
        return run.finish();
      },
    ],
  };
  for (const [name, [message, act]] of Object.entries(cases)) {
    it(name, () => {
      expect(act(new HandWritten()).join("\n")).toMatch(message);
    });
  }
});
