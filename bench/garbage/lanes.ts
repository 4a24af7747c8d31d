import type { Client } from "squall";
import type { AllocationResult, AllocationRun } from "../commit/calls.js";
import { heap } from "../heap.js";
import { operationBytes } from "../machines/counter.js";

const addOne = Buffer.alloc(operationBytes);
addOne.writeDoubleLE(1);
const bareResult = Buffer.alloc(8);

/** The clock is read once in so many operations: a time stamp is a heap number. */
const operationsPerLook = 256;

/** Counts operations, and knows when to end. */
class Tally {
  operations = 0;
  ended = false;
  readonly #endMs: number;

  constructor(seconds: number) {
    this.#endMs = performance.now() + seconds * 1000;
  }

  count(): void {
    this.operations++;
    if (this.operations % operationsPerLook === 0 && performance.now() >= this.#endMs) this.ended = true;
  }
}

async function promiseLane(tally: Tally, invoke: () => Promise<Buffer>): Promise<void> {
  while (!tally.ended) {
    const result = await invoke();
    if (result.length !== 8) throw new Error("a result of the counter has 8 bytes");
    tally.count();
  }
}

function callbackLane(tally: Tally, client: Client): Promise<void> {
  return new Promise((resolve, reject) => {
    const onResult = (error: Error | undefined): void => {
      tally.count();
      if (error !== undefined) reject(error);
      else if (tally.ended) resolve();
      else client.invokeWith(addOne, onResult);
    };
    client.invokeWith(addOne, onResult);
  });
}

/** What the promise form can't do without: a promise, and a Buffer of its own for the result. Resolved in batches, as Squall does. */
class BarePromises {
  readonly #resolvers: ((result: Buffer) => void)[] = [];
  #next: (result: Buffer) => void = () => {};
  readonly #capture = (resolve: (result: Buffer) => void): void => {
    this.#next = resolve;
  };

  readonly invoke = (): Promise<Buffer> => {
    const promise = new Promise<Buffer>(this.#capture);
    this.#resolvers.push(this.#next);
    return promise;
  };

  async serve(tally: Tally): Promise<void> {
    while (!tally.ended || this.#resolvers.length > 0) {
      for (let i = this.#resolvers.length; i > 0; i--) {
        const result = Buffer.allocUnsafe(8);
        result.set(bareResult);
        this.#resolvers.pop()!(result);
      }
      await new Promise(setImmediate);
    }
  }
}

export async function runAllocation(client: Client, { window, seconds, form }: AllocationRun): Promise<AllocationResult> {
  const bare = new BarePromises();
  const invoke = form === "bare" ? bare.invoke : () => client.invoke(addOne);
  const before = heap();
  const tally = new Tally(seconds);
  const lanes = Array.from({ length: window }, () => (form === "callback" ? callbackLane(tally, client) : promiseLane(tally, invoke)));
  if (form === "bare") await bare.serve(tally);
  await Promise.all(lanes);
  const after = heap();
  return {
    operations: tally.operations,
    heapBytes: after.usedBytes - before.usedBytes,
    collections: after.collections - before.collections,
  };
}
