import { EMPTY, type History, Kind, ObjectType } from "./history.js";

/**
 * The sequential objects that histories are checked against. `apply` answers what the operation would return in the present
 * state and changes the state; `undo` takes the newest `apply` back.
 */
export interface Model {
  apply(history: History, index: number): number;
  undo(): void;
  /** Equal states, equal keys; different states, different keys. */
  key(): string;
}

export function modelOf(type: ObjectType): Model {
  return type === ObjectType.Queue ? new QueueModel() : new NumberModel();
}

/** A register or a counter; both start at 0. */
class NumberModel implements Model {
  private value = 0;
  private readonly previous: number[] = [];

  apply(history: History, index: number): number {
    this.previous.push(this.value);
    switch (history.kind[index]) {
      case Kind.Write:
        this.value = history.argument[index]!;
        return 0;
      case Kind.CompareAndSet:
        if (this.value !== history.expected[index]) return 0;
        this.value = history.argument[index]!;
        return 1;
      case Kind.Add:
        this.value = (this.value + history.argument[index]!) | 0;
        return this.value;
      default:
        return this.value;
    }
  }

  undo(): void {
    this.value = this.previous.pop()!;
  }

  key(): string {
    return `${this.value}`;
  }
}

class QueueModel implements Model {
  /** All values ever enqueued on this path; those before `head` are dequeued. */
  private readonly values: number[] = [];
  private head = 0;
  private readonly undoKinds: ("enqueue" | "dequeue" | "empty")[] = [];

  apply(history: History, index: number): number {
    if (history.kind[index] === Kind.Enqueue) {
      this.values.push(history.argument[index]!);
      this.undoKinds.push("enqueue");
      return 0;
    }
    if (this.head === this.values.length) {
      this.undoKinds.push("empty");
      return EMPTY;
    }
    this.undoKinds.push("dequeue");
    return this.values[this.head++]!;
  }

  undo(): void {
    const kind = this.undoKinds.pop();
    if (kind === "enqueue") this.values.pop();
    else if (kind === "dequeue") this.head--;
  }

  key(): string {
    return this.values.slice(this.head).join();
  }
}

/** Whether an operation with this result left the state as it was. */
export function isPure(kind: number, result: number): boolean {
  return kind === Kind.Read || (kind === Kind.CompareAndSet && result === 0) || (kind === Kind.Dequeue && result === EMPTY);
}
