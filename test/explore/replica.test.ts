/** A state that was saved and loaded is as good as the one that it was saved from: the same inputs have the same outputs. */
import { expect, it } from "vitest";
import { MessageType } from "../../src/data/binding.js";
import { loadBinding } from "../../src/data/load.js";
import { factsOf } from "../../src/explore/locals.js";
import { clientId, ExploredReplica, type Outcome, type ReplicaEvent, type ReplicaState } from "../../src/explore/replica.js";
import { requestBody } from "../../src/explore/requests.js";
import { Prng } from "../../src/sim/prng.js";

const Replicas = 3;
const StepsOfOneWalk = 60;

function shown({ state, sent, failures }: Outcome): string {
  // A request that waited twice is answered twice.
  const messages = sent.map((message) =>
    message.to < 0 ? JSON.stringify(factsOf(0, message)) : `${message.to} ${message.type} ${Buffer.from(message.body).toString("hex")}`,
  );
  return JSON.stringify({ state, messages, failures });
}

/** One random walk of a whole group; the longest log and view that it saw. */
function walk(seed: number, mode: "speculative" | "adaptive"): { views: number; entries: number } {
  const prng = new Prng(seed, "explore");
  const group = { binding: loadBinding(), n: Replicas, mode, guardsOff: 0 };
  const replicas = Array.from({ length: Replicas }, (_, id) => new ExploredReplica(group, id));
  const states: ReplicaState[] = replicas.map((replica) => replica.bootstrapped().state);
  const inboxes: Extract<ReplicaEvent, { kind: "deliver" }>[][] = replicas.map(() =>
    [0, 1, 2, 3].map((request) => ({ kind: "deliver", from: clientId, type: MessageType.Request, body: requestBody(request) })),
  );
  const keep = (from: number, { sent }: Outcome): void => {
    for (const { to, type, body } of sent) if (to >= 0) inboxes[to]!.push({ kind: "deliver", from, type, body });
  };
  const pick = (inbox: readonly ReplicaEvent[]): ReplicaEvent => inbox[Math.floor(prng.unit() ** 0.3 * inbox.length)]!;
  try {
    let crashes = 0;
    for (let i = 0; i < StepsOfOneWalk; i++) {
      const r = Math.floor(prng.unit() * Replicas);
      const replica = replicas[r]!;
      const dice = prng.unit();
      const crash = { kind: "crash", process: crashes + 1 } as const;
      const first: ReplicaEvent =
        dice < 0.1 ? { kind: "soon" } : dice < 0.13 ? { kind: "timeout" } : dice < 0.14 ? crash : pick(inboxes[r]!);
      if (first.kind === "crash") crashes++;
      const outcome = replica.step(states[r]!, first);
      expect(outcome.failures).toEqual([]);
      const second = pick(inboxes[r]!);
      // After a time-out the clock stands elsewhere; and what changed nothing may have been kept for later where it waits in the network here.
      const changed = JSON.stringify(outcome.state) !== JSON.stringify(states[r]);
      if (changed && (first.kind === "deliver" || first.kind === "crash")) {
        const onward = shown(replica.stepOn(second));
        expect(shown(replica.step(outcome.state, second))).toBe(onward);
        expect(shown(replica.step(states[r]!, first))).toBe(shown(outcome));
      }
      keep(r, outcome);
      states[r] = outcome.state;
    }
    return { views: Math.max(...states.map(({ view }) => view)), entries: Math.max(...states.map(({ end }) => end)) };
  } finally {
    for (const replica of replicas) replica.close();
  }
}

it("goes on alike from where it stands and from where it was put, in random walks", { timeout: 60_000 }, () => {
  const seen = Array.from({ length: 60 }, (_, seed) => walk(seed, seed % 2 === 0 ? "speculative" : "adaptive"));
  expect(Math.max(...seen.map(({ views }) => views))).toBeGreaterThan(1);
  expect(Math.max(...seen.map(({ entries }) => entries))).toBe(4);
});
