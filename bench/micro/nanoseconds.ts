import { bench, do_not_optimize, group, run } from "mitata";
import { ReplicaRow } from "../../dist/data/binding.js";
import { MachineHost } from "../../dist/data/machine-host.js";
import counterMachine, { operationBytes } from "../machines/counter.js";

/** What happens per batch or per row inside JavaScript: too short for Benchmark.js, hence mitata. */
export async function nanosecondBenches(): Promise<void> {
  const batch = 64;
  const host = new MachineHost({
    machine: counterMachine(),
    rows: batch,
    arenaBytes: batch * operationBytes,
    maxResultBytes: 1024,
    onFailure: (failure) => {
      throw new Error(failure.text);
    },
  });
  for (let i = 0; i < batch; i++) {
    host.rows[i * ReplicaRow.Stride + ReplicaRow.SeqnoLo] = i + 1;
    host.rows[i * ReplicaRow.Stride + ReplicaRow.Offset] = i * operationBytes;
    host.rows[i * ReplicaRow.Stride + ReplicaRow.Length] = operationBytes;
  }
  group("upcall: the machine host executes a batch", () => {
    for (const rows of [1, 16, batch]) bench(`${rows} operations of ${operationBytes} bytes`, () => host.execute(rows));
  });
  const rows = new Uint32Array(batch * ReplicaRow.Stride);
  group("ring: reading rows", () => {
    bench(`${batch} rows, four words each`, () => {
      let sum = 0;
      for (let base = 0; base < rows.length; base += ReplicaRow.Stride)
        sum += rows[base]! + rows[base + 1]! + rows[base + 2]! + rows[base + 3]!;
      return do_not_optimize(sum);
    });
  });
  await run();
}
