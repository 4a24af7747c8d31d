/** Few operations, many views, very late frames: what the storm's steady load hides. */
import { hex, makeRecord } from "./fake-data-plane.js";
import { crash, Group, type GroupOptions } from "./group.js";

export function sparse(options: GroupOptions & { crashes?: boolean }): Group {
  const group = new Group({
    network: { lossProbability: 0.02, duplicateProbability: 0.1, minDelayUs: 50, maxDelayUs: 2000, slowProbability: 0.1 },
    timing: { syncTimeoutMs: 20, syncMaxMs: 20, resendMs: 5, reconciliationTimeoutMs: 20 },
    ...options,
  });
  const { n, prng } = group;
  const issue = (client: number, request: number): void => {
    const record = makeRecord(client, request, `op${prng.u32()}`);
    const key = hex(record.subarray(0, 16));
    const attempt = (): void => {
      if (group.accepted.has(key)) {
        group.at(prng.unit() * 60_000, () => issue(client, request + 1));
        return;
      }
      group.multicast(record);
      group.at(15_000 + prng.unit() * 60_000, attempt);
    };
    attempt();
  };
  for (const client of [1, 2, 3]) issue(client, 1);
  const faultUs = 3_000_000;
  const fault = (): void => {
    if (group.nowUs > faultUs) return;
    const r = Math.floor(prng.unit() * n);
    const other = Math.floor(prng.unit() * n);
    const lastsUs = 5_000 + prng.unit() * 80_000;
    if (options.crashes && prng.unit() < 0.3) crash(group, r);
    if (prng.unit() < 0.6) {
      group.isolate(r);
      group.at(lastsUs, () => group.isolate(r, false));
    } else if (r !== other) {
      group.block(r, other);
      group.at(lastsUs, () => group.block(r, other, false));
    }
    group.at(5_000 + prng.unit() * 40_000, fault);
  };
  fault();
  group.run(faultUs);
  group.heal();
  group.runFor(1_000_000);
  return group;
}
