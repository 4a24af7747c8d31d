/** One client of a run: issues what is due within its limit, records what it sees. */
import { Consistency, type NativeLoopHub } from "../data/binding.js";
import type { ClientHost, Submission } from "../data/client-host.js";
import type { SquallError } from "../errors.js";
import type { History, Kind } from "./history.js";
import { readResult } from "./operation.js";
import type { Oracle } from "./oracle.js";
import type { Prng } from "./prng.js";
import { ReadSource } from "./read-source.js";
import type { Trace } from "./trace.js";
import { type ClientPlan, OperationSource } from "./workload.js";

export interface DriverContext {
  history: History;
  oracle: Oracle;
  hub: NativeLoopHub;
  trace: Trace | undefined;
  changedOperation: number | undefined;
  /** Of what a client issues. */
  readShare: number;
  /** The next place in the order of all invocations and responses. */
  tick(): number;
}

/** An operation under way; reused, with its callback, so that a run allocates nothing per operation. */
class Slot {
  /** In the history; -1: a read of a session or a stale one, which has no place there. */
  index = -1;
  read: { id: number; consistency: Consistency; kind: Kind; object: number; leastSeqno: number } | undefined;
  readonly callback: (error: SquallError | undefined, result: Buffer, seqno: number) => void;

  constructor(driver: ClientDriver) {
    this.callback = (error, result, seqno) => driver.completed(this, error, result, seqno);
  }
}

const LARGE_OPERATION_BYTES = 3_000;

export class ClientDriver {
  /** Operation ids begin here, so that 0 means none. */
  static readonly ID_OFFSET = 1;
  refused = 0;
  /** Of a session and stale: not in the history. */
  readsIssued = 0;
  readsCompleted = 0;
  private dueOperations = 0;
  private outstanding = 0;
  private crashed = false;
  private readonly freeSlots: Slot[];
  private readonly source: OperationSource;
  private readonly reads: ReadSource;
  /** The newest seqno whose effect this client has seen. */
  private seenSeqno = 0;
  private readonly adversary: boolean;

  constructor(
    readonly plan: ClientPlan,
    private readonly host: ClientHost,
    prng: Prng,
    private readonly context: DriverContext,
  ) {
    this.adversary = plan.misbehave !== "none";
    this.source = new OperationSource(
      prng,
      plan.index,
      this.adversary,
      LARGE_OPERATION_BYTES,
      plan.index === 0 ? context.changedOperation : undefined,
    );
    this.reads = new ReadSource(prng.split("reads"), plan.index, this.adversary ? 0 : context.readShare);
    this.freeSlots = Array.from({ length: plan.outstanding }, () => new Slot(this));
  }

  /** Nothing due and nothing open. What becomes of an adversary's operations is its own affair. */
  get idle(): boolean {
    return this.crashed || this.adversary || (this.dueOperations === 0 && this.outstanding === 0);
  }

  describe(): string {
    return `client ${this.plan.index} (state ${this.host.state}) has ${this.outstanding} operations open and ${this.dueOperations} due`;
  }

  due(operations: number): void {
    if (this.crashed) return;
    this.dueOperations += operations;
    this.issue();
  }

  /** Goes away without a word; returns how many operations it had not issued. */
  crash(): number {
    const left = this.dueOperations;
    this.dueOperations = 0;
    this.crashed = true;
    this.context.trace?.(this.context.hub.nowUs(), `client ${this.plan.index} crashes`);
    this.host.close();
    return left;
  }

  completed(slot: Slot, error: SquallError | undefined, result: Buffer, seqno: number): void {
    const { index } = slot;
    const { history, oracle, trace, hub } = this.context;
    this.outstanding--;
    this.freeSlots.push(slot);
    if (slot.read !== undefined) this.completedRead(slot, slot.read, error, result, seqno);
    else if (error !== undefined) this.failed(index, error);
    else if (!this.adversary) {
      this.seenSeqno = Math.max(this.seenSeqno, seqno);
      const value = readResult(result);
      if (value === undefined) oracle.violate(`a client got a malformed result for ${history.describe(index)}`, undefined, seqno);
      else {
        history.respond(index, value, this.context.tick(), seqno);
        this.source.learn(history, index);
        oracle.accepted(index + ClientDriver.ID_OFFSET, seqno);
      }
    }
    if (trace !== undefined) trace(hub.nowUs(), `completes ${error === undefined ? "" : `(${error.code}) `}${this.describeSlot(slot)}`);
    // Waiting until some places are free lets the next requests share a frame.
    if (this.dueOperations > 0 && 2 * this.outstanding <= this.plan.outstanding) this.issue();
  }

  private completedRead(slot: Slot, read: NonNullable<Slot["read"]>, error: SquallError | undefined, result: Buffer, seqno: number): void {
    const { history, oracle } = this.context;
    if (error !== undefined) {
      if (this.crashed) return;
      this.refused++;
      if (error.outcome === "executed" || error.code === "QUERY_UNSUPPORTED")
        oracle.violate(`${error.code} for ${this.describeSlot(slot)}`);
      return;
    }
    const value = readResult(result);
    if (value === undefined) {
      oracle.violate(`a client got a malformed result for ${this.describeSlot(slot)}`, undefined, seqno);
      return;
    }
    oracle.reads.accepted({ ...read, seqno, value });
    if (read.consistency !== Consistency.Stale) this.seenSeqno = Math.max(this.seenSeqno, seqno);
    if (slot.index < 0) this.readsCompleted++;
    else history.respond(slot.index, value, this.context.tick(), seqno + 0.5);
  }

  private describeSlot({ index, read }: Slot): string {
    if (index >= 0) return this.context.history.describe(index);
    return `client ${this.plan.index} ${read!.consistency === Consistency.Session ? "session" : "stale"} read ${read!.id} of object ${read!.object}`;
  }

  private failed(index: number, error: SquallError): void {
    const { history, oracle } = this.context;
    if (this.crashed) return;
    this.refused++;
    if (this.adversary || error.outcome === "unknown") return;
    if (error.outcome === "executed") oracle.violate(`${error.code} for ${history.describe(index)}`);
    // Not executed: to the checker as if its outcome were unknown; the oracles see that it never is committed.
    oracle.refused(index + ClientDriver.ID_OFFSET);
  }

  private issue(): void {
    if (this.crashed) return;
    const { history, trace, hub } = this.context;
    let issued = 0;
    while (this.dueOperations > 0 && this.freeSlots.length > 0) {
      const slot = this.freeSlots.pop()!;
      const submission = this.reads.drawn() ? this.submitRead(slot) : this.submitOperation(slot);
      if (submission !== "accepted") {
        // The window's slot of the next number is still taken by a straggler, or the session is gone.
        if (slot.index >= 0) history.count--;
        this.freeSlots.push(slot);
        if (submission === "lost-session") this.dueOperations = 0;
        break;
      }
      this.dueOperations--;
      this.outstanding++;
      issued++;
      if (slot.index < 0) this.readsIssued++;
      if (trace !== undefined) trace(hub.nowUs(), `invokes ${this.describeSlot(slot)}`);
    }
    if (issued > 0) this.host.flush();
  }

  private submitOperation(slot: Slot): Submission {
    slot.index = this.source.next(this.context.history, this.context.tick(), ClientDriver.ID_OFFSET);
    slot.read = undefined;
    return this.host.trySubmit(this.source.bytes, slot.callback);
  }

  private submitRead(slot: Slot): Submission {
    const { history, oracle } = this.context;
    const { kind, object, consistency, bytes } = this.reads;
    const linearizable = consistency === Consistency.Linearizable;
    slot.index = linearizable ? history.invoke(this.plan.index, kind, object, 0, 0, this.context.tick()) : -1;
    if (linearizable) history.unlogged[slot.index] = 1;
    const id = linearizable ? slot.index + ClientDriver.ID_OFFSET : oracle.reads.nextId();
    slot.read = { id, consistency, kind, object, leastSeqno: this.seenSeqno };
    this.reads.encode(id);
    return this.host.trySubmitRead(bytes, consistency, slot.callback);
  }
}
