import type { Machine } from "squall";

/** An operation of the benchmarks is as long as the floor's datagram: the amount to add (float64), then padding. */
export const operationBytes = 64;
const capacity = 1 << 16;

/**
 * The counter that the benchmarks replicate: each operation adds to it and returns the new value. An ordinary machine with
 * the paper's upcalls; it undoes by subtracting, and allocates nothing per operation.
 */
export default function counterMachine(): Machine {
  let value = 0;
  const results = new Float64Array(capacity);
  const views = Array.from({ length: capacity }, (_, index) => new Uint8Array(results.buffer, index * 8, 8));
  let next = 0;
  return {
    speculativelyExecute(_seqno, operation) {
      value += operation.readDoubleLE(0);
      next = (next + 1) & (capacity - 1);
      results[next] = value;
      return views[next];
    },
    rollback(_fromSeqno, _toSeqno, operations) {
      for (const operation of operations) value -= operation.readDoubleLE(0);
    },
    snapshot() {
      const bytes = Buffer.alloc(8);
      bytes.writeDoubleLE(value);
      return bytes;
    },
    restore(snapshot) {
      value = Buffer.from(snapshot).readDoubleLE(0);
    },
  };
}
