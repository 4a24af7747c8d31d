import { describe, expect, it } from "vitest";
import type { LoopPath, NativeLoopHub } from "../../src/data/binding.js";
import { cleanPath, drawPath, healAll, pathKey } from "../../src/sim/paths.js";
import { Prng } from "../../src/sim/prng.js";
import { drawFaults, profileNamed, profiles } from "../../src/sim/profiles.js";
import { drawSchedule } from "../../src/sim/schedule.js";

const ports = { replicas: [0, 1, 2], clients: [3, 4, 5, 6] };
const all = [...ports.replicas, ...ports.clients];
const START_US = 1_000,
  CHAOS_US = 200_000;

/** A hub that only remembers what it was told. */
class RecordingHub {
  readonly blocked = new Set<number>();
  readonly paths = new Map<number, LoopPath>();
  readonly pausedUntil = new Map<number, number>();
  setBlocked(from: number, to: number, blocked: boolean) {
    if (blocked) this.blocked.add(pathKey(from, to));
    else this.blocked.delete(pathKey(from, to));
  }
  setPath(from: number, to: number, path: LoopPath) {
    this.paths.set(pathKey(from, to), path);
  }
  setDefaultPath() {}
  setClock() {}
  pause(port: number, untilUs: number) {
    this.pausedUntil.set(port, untilUs);
  }
}

function scheduleOf(seed: number, name: string) {
  const named = profileNamed(name);
  const prng = new Prng(seed, "test");
  const faults = drawFaults(named, prng, CHAOS_US, 5);
  const paths = new Map(all.flatMap((from) => all.map((to) => [pathKey(from, to), drawPath(faults, prng)] as const)));
  return {
    paths,
    faults,
    schedule: drawSchedule({
      prng,
      profile: named.profile,
      faults,
      ports,
      paths,
      startUs: START_US,
      chaosUs: CHAOS_US,
      crashes: { kill() {}, restart() {}, losePower() {}, failDisk() {}, failMachine() {}, replaceMachine() {} },
      changeMembers() {},
    }),
  };
}

describe.each(Object.keys(profiles))("profile %s", (name) => {
  it("draws the same schedule from the same seed", () => {
    const lines = (seed: number) => scheduleOf(seed, name).schedule.events.map(({ atUs, what }) => `${atUs} ${what}`);
    expect(lines(11)).toEqual(lines(11));
    if (name !== "none" && name !== "light") expect(lines(11)).not.toEqual(lines(12));
  });

  it("ends all it began by the end of the chaos phase, in order of time", () => {
    for (let seed = 0; seed < 50; seed++) {
      const { schedule, paths } = scheduleOf(seed, name);
      const hub = new RecordingHub();
      let lastUs = 0;
      for (const event of schedule.events) {
        expect(event.atUs).toBeGreaterThanOrEqual(lastUs);
        expect(event.atUs).toBeLessThanOrEqual(START_US + CHAOS_US);
        lastUs = event.atUs;
        event.apply(hub as unknown as NativeLoopHub);
      }
      expect(hub.blocked.size).toBe(0);
      for (const [key, path] of hub.paths) expect(path).toEqual(paths.get(key));
      for (const untilUs of hub.pausedUntil.values()) expect(untilUs).toBeLessThanOrEqual(START_US + CHAOS_US);
    }
  });
});

it("has every kind of episode in the profiles default and disk, and leaves some out of some seeds", () => {
  const totals: Record<string, number> = {};
  const absent: Record<string, number> = {};
  for (let seed = 0; seed < 40; seed++) {
    const { powerLoss, diskFault } = scheduleOf(seed, "disk").schedule.counts;
    for (const [kind, count] of Object.entries({ ...scheduleOf(seed, "default").schedule.counts, powerLoss, diskFault })) {
      totals[kind] = (totals[kind] ?? 0) + count;
      if (count === 0) absent[kind] = (absent[kind] ?? 0) + 1;
    }
  }
  for (const count of Object.values(totals)) expect(count).toBeGreaterThan(5);
  expect(Object.keys(absent).length).toBeGreaterThan(3);
});

it("leaves a clean network when it heals", () => {
  const hub = new RecordingHub();
  hub.setBlocked(0, 1, true);
  healAll(hub as unknown as NativeLoopHub, ports);
  expect(hub.blocked.size).toBe(0);
  expect([...hub.paths.values()].every((path) => path === cleanPath)).toBe(true);
});

it("refuses an unknown profile by naming those there are", () => {
  expect(() => profileNamed("thunderstorm")).toThrow(/none, light, default, harsh, mutation/);
  expect(() => profileNamed("hash")).toThrow(/Did you mean "harsh"/);
  expect(() => profileNamed("default:dance")).toThrow(/lostCommit/);
  expect(() => profileNamed("default:lostCommit:twice")).toThrow(/no fault profile/);
  expect(() => profileNamed("constructor")).toThrow(/no fault profile/);
});
