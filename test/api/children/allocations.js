// Three replicas and a client in one process. Sends what an operation in steady state takes from the heaps: how often the addon's own code
// allocates, and how much JavaScript's heap grows. The same with promises, and with a way of sending that allocates, so that it is seen to count.
import { bootstrap, connect, createReplica, loadCluster } from "squall";
import { loadBinding } from "../../../dist/data/load.js";

const { content, secret, operations } = JSON.parse(process.argv[2]);
const binding = loadBinding();
const cluster = await loadCluster(content, { secret: Buffer.from(secret, "hex") });
const result = Buffer.alloc(8);
const machine = { speculativelyExecute: () => result, rollback() {}, commit() {} };
for (let id = 0; id < cluster.replicas.length; id++) await createReplica({ cluster, id, machine, thread: "main" });
await bootstrap({ cluster });
const client = await connect({ cluster });
const operation = Buffer.alloc(64);

const callback = (done) => client.invokeWith(operation, done);
const promise = (done) => client.invoke(operation).then(() => done(), done);

/** `count` operations, `window` outstanding, with neither closure nor object for each of them. */
function run(count, window, issue) {
  return new Promise((resolve) => {
    let issued = 0;
    let completed = 0;
    const done = (error) => {
      if (error) throw error;
      if (++completed === count) resolve();
      else if (issued < count) {
        issued++;
        issue(done);
      }
    };
    while (issued < Math.min(window, count)) {
      issued++;
      issue(done);
    }
  });
}

/** The least of some runs: heartbeats and the compiler come at times of their own, and only add. */
async function measure(count, window, issue) {
  const least = { native: Number.POSITIVE_INFINITY, heapBytes: Number.POSITIVE_INFINITY };
  for (let i = 0; i < 7; i++) {
    globalThis.gc();
    const native = binding.allocations();
    const heap = process.memoryUsage().heapUsed;
    await run(count, window, issue);
    least.native = Math.min(least.native, (binding.allocations() - native) / count);
    least.heapBytes = Math.min(least.heapBytes, (process.memoryUsage().heapUsed - heap) / count);
  }
  return least;
}

for (let i = 0; i < 4; i++) await run(operations / 10, 64, callback);
const steady = await measure(operations, 64, callback);
const promised = await measure(operations / 100, 64, promise);
client.scramble(true);
const scrambled = await measure(operations / 100, 1, callback);
process.send({ steady, promised, scrambled }, () => process.exit(0));
