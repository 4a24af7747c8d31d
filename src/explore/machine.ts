/** The machine that explored replicas run: it remembers which operation was executed at which seqno, and notices what must never happen. */
import type { Machine } from "../machine.js";

export class RecordedMachine implements Machine {
  readonly copy = true;
  /** "seqno:operation" of what was executed and not rolled back, oldest first, separated by spaces. */
  state = "";

  speculativelyExecute(seqno: number, operation: Buffer): Uint8Array {
    this.state += `${this.state === "" ? "" : " "}${seqno}:${operation.toString()}`;
    return Buffer.from(this.state);
  }

  rollback(_fromSeqno: number, toSeqno: number, _operations: Buffer[], seqnos: number[]): void {
    const executed = this.executed();
    for (const seqno of seqnos) {
      const last = executed.pop();
      if (last?.seqno !== seqno || seqno <= toSeqno) throw new Error(`rolled back ${seqno}, but the last operation is ${last?.seqno}`);
    }
    this.state = executed.map(({ seqno, operation }) => `${seqno}:${operation}`).join(" ");
  }

  /** An operation that was executed twice, or behind the log's end. */
  problems(executedTo: number): string[] {
    const seen = new Set<string>();
    const problems: string[] = [];
    for (const { seqno, operation } of this.executed()) {
      if (seen.has(operation)) problems.push(`operation ${operation} was executed twice`);
      if (seqno > executedTo) problems.push(`the machine has operation ${seqno}, but ${executedTo} were executed`);
      seen.add(operation);
    }
    return problems;
  }

  private executed(): { seqno: number; operation: string }[] {
    if (this.state === "") return [];
    return this.state.split(" ").map((text) => {
      const at = text.indexOf(":");
      return { seqno: Number(text.slice(0, at)), operation: text.slice(at + 1) };
    });
  }
}

/** What a machine in this state executed at `seqno`; "": nothing. */
export function operationAt(state: string, seqno: number): string {
  const entry = state.split(" ").find((text) => text.startsWith(`${seqno}:`));
  return entry === undefined ? "" : entry.slice(entry.indexOf(":") + 1);
}
