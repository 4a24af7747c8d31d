import { randomBytes } from "node:crypto";
import { afterAll, expect, it } from "vitest";
import type { Snapshot } from "../../dist/control/snapshot.js";
import { type NativeReplicaEngine, ReplicaStatus, StatusWord } from "../../dist/data/binding.js";
import { CheckpointKeeper } from "../../dist/data/checkpoints.js";
import { closeHashPool } from "../../dist/data/hashing.js";
import type { MachineHost } from "../../dist/data/machine-host.js";

afterAll(closeHashPool);

const every = 1000;
const state = randomBytes(700_000);

/** A keeper on a clock of its own, with a machine whose snapshots are hashed on another thread, and as much of an engine as it needs. */
class Keeper {
  nowUs = 0;
  fill = 0.2;
  readonly words = new Float64Array(256);
  readonly keeper: CheckpointKeeper;
  #taken: (snapshot: Snapshot) => void = () => {};

  constructor(snapshot: () => Uint8Array | Iterable<Uint8Array>) {
    this.words[StatusWord.CheckpointDue] = every;
    this.words[StatusWord.Status] = ReplicaStatus.Normal;
    const engine = {
      nowUs: () => this.nowUs,
      checkpointSessions: () => new Uint8Array(64),
      position: () => new Uint8Array(48),
      checkpointed: (seqno: number) => {
        this.words[StatusWord.CheckpointDue] = (Math.floor(seqno / every) + 1) * every;
      },
    } as unknown as NativeReplicaEngine;
    const machine = { snapshot, commit() {}, hasThrownAbove: () => false } as unknown as MachineHost;
    this.keeper = new CheckpointKeeper({
      engine,
      machine,
      words: this.words,
      every,
      logFill: () => this.fill,
      inPlace: false,
      rollBack() {},
      taken: (taken) => this.#taken(taken),
      refused: (_, error) => expect.fail(String(error)),
      fail: (message) => expect.fail(message),
    });
  }

  /** The log comes to `seqno`, `afterUs` later; the checkpoint there, if one is taken, takes `lastsUs`. */
  async reach(seqno: number, afterUs: number, lastsUs: number): Promise<Snapshot | undefined> {
    this.nowUs += afterUs;
    this.words[StatusWord.Executed] = seqno;
    let began = false;
    const taken = new Promise<Snapshot>((resolve) => {
      this.#taken = resolve;
    });
    const pull = this.keeper.work.bind(this.keeper);
    this.keeper.work = () => {
      began = true;
      pull();
    };
    this.keeper.advance(seqno);
    this.keeper.work = pull;
    if (!began) return undefined;
    this.nowUs += lastsUs;
    while (this.keeper.pulling) this.keeper.work();
    const snapshot = await taken;
    this.nowUs -= lastsUs;
    return snapshot;
  }
}

function* chunks(): Iterable<Uint8Array> {
  // The same place again and again, as a machine may.
  const place = new Uint8Array(100_000);
  for (let offset = 0; offset < state.length; offset += place.length) {
    place.set(state.subarray(offset, offset + place.length));
    yield place;
  }
}

it("a large snapshot in chunks is the same as one in one piece", async () => {
  const whole = await new Keeper(() => state).reach(every, 1e6, 0);
  const pulled = await new Keeper(chunks).reach(every, 1e6, 0);
  expect(Buffer.compare(pulled!.machine, state)).toBe(0);
  expect(Buffer.from(pulled!.digest).toString("hex")).toBe(Buffer.from(whole!.digest).toString("hex"));
});

it("takes every second checkpoint where one takes long, the same ones as others that do", async () => {
  const keeper = new Keeper(chunks);
  const taken: number[] = [];
  const reach = async (from: number, to: number, lastsUs: number) => {
    for (let i = from; i <= to; i++) if (await keeper.reach(i * every, 1e6, lastsUs)) taken.push(i);
  };
  await reach(1, 6, 500_000);
  expect(taken).toEqual([1, 2, 4, 6]);
  // What is due for another reason than the number of entries is not left out.
  keeper.words[StatusWord.CheckpointDue] = 6 * every + 7;
  expect(await keeper.reach(6 * every + 7, 1e6, 500_000)).toBeDefined();
  // And all again once they are quick.
  await reach(7, 11, 1_000);
  expect(taken.slice(4)).toEqual([8, 9, 10, 11]);
});

it("takes the one with which an epoch begins, whatever is under way", async () => {
  const keeper = new Keeper(chunks);
  for (let i = 1; i <= 2; i++) await keeper.reach(i * every, 1e6, 500_000);
  keeper.words[StatusWord.Executed] = 4 * every;
  keeper.keeper.advance(4 * every);
  keeper.keeper.reset();
  expect(await keeper.reach(5 * every, 1e6, 1_000)).toMatchObject({ seqno: 5 * every });
});

it("takes each of them once the log is half full", async () => {
  const keeper = new Keeper(chunks);
  keeper.fill = 0.6;
  const taken: number[] = [];
  for (let i = 1; i <= 4; i++) if (await keeper.reach(i * every, 1e6, 500_000)) taken.push(i);
  expect(taken).toEqual([1, 2, 3, 4]);
});

it("takes none while the replica recovers, unless the log runs full", async () => {
  const keeper = new Keeper(() => state);
  keeper.words[StatusWord.Status] = ReplicaStatus.Recovery;
  expect(await keeper.reach(every, 1e6, 0)).toBeUndefined();
  keeper.fill = 0.9;
  expect(await keeper.reach(2 * every, 1e6, 0)).toMatchObject({ seqno: 2 * every });
  keeper.fill = 0.2;
  expect(await keeper.reach(3 * every, 1e6, 0)).toBeUndefined();
  keeper.words[StatusWord.Status] = ReplicaStatus.Normal;
  expect(await keeper.reach(4 * every, 1e6, 0)).toMatchObject({ seqno: 4 * every });
});
