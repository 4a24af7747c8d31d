/** The counter of the demonstration: each operation adds a number, and is answered with the new value. */
import type { Machine } from "../machine.js";

const firstCapacity = 1024;

/**
 * An operation is a delta: 4 bytes (int32) or 8 (float64), little endian; anything else, and a delta that would leave the finite
 * numbers, adds nothing. The result is the value afterwards, 8 bytes (float64, little endian).
 * A query, whatever its bytes, is answered with the value.
 * Undoing restores the value as it was: subtracting a float64 would not.
 */
export default function counterMachine(): Machine {
  let value = 0;
  let executed = 0;
  let committed = 0;
  // The value after each seqno since the committed one, a ring by seqno.
  let values = new Float64Array(firstCapacity);
  const result = Buffer.alloc(8);

  function remember(seqno: number): void {
    while (seqno - committed >= values.length) grow();
    // Entries that were no-ops never come here, and left the value as it was.
    for (let skipped = executed + 1; skipped < seqno; skipped++) values[skipped % values.length] = values[executed % values.length]!;
    values[seqno % values.length] = value;
    executed = seqno;
  }

  function grow(): void {
    const larger = new Float64Array(values.length * 2);
    for (let seqno = committed; seqno <= executed; seqno++) larger[seqno % larger.length] = values[seqno % values.length]!;
    values = larger;
  }

  return {
    speculativelyExecute(seqno, operation) {
      const sum = value + deltaOf(operation);
      if (Number.isFinite(sum)) value = sum;
      remember(seqno);
      result.writeDoubleLE(value);
      return result;
    },
    query() {
      result.writeDoubleLE(value);
      return result;
    },
    rollback(_fromSeqno, toSeqno) {
      if (toSeqno >= executed) return;
      executed = toSeqno;
      value = values[toSeqno % values.length]!;
    },
    commit(seqno) {
      if (seqno > executed) remember(seqno);
      committed = seqno;
    },
    snapshot() {
      const snapshot = Buffer.alloc(8);
      snapshot.writeDoubleLE(value);
      return snapshot;
    },
    restore(snapshot) {
      value = Buffer.from(snapshot).readDoubleLE(0);
      values[executed % values.length] = value;
    },
  };
}

function deltaOf(operation: Buffer): number {
  if (operation.length === 4) return operation.readInt32LE(0);
  return operation.length === 8 ? operation.readDoubleLE(0) : 0;
}
