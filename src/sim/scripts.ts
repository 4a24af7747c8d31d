/**
 * Scripted partitions: each sets the stage for one trap of the protocol, by watching the replicas and
 * cutting links at the very step where it hurts. Chance alone hardly ever lines these steps up. With the rules in force
 * nothing comes of them.
 *
 * A script is a generator: it yields conditions and goes on when they hold; each is looked at after every step of the run
 * and in the middle of an install or a commit, before the frames that follow from it are sent.
 */
import { Mode, type NativeLoopHub } from "../data/binding.js";
import { crashScripts } from "./crash-scripts.js";
import type { Ports } from "./paths.js";
import type { Prng } from "./prng.js";
import { type Condition, type Script, Stage, type StageActions, type StageReplica } from "./stage.js";

/**
 * The leader of view v+1 commits the log that view starts with and is cut off before its COMMIT leaves; the other member, who
 * has added nothing since, meets a replica that never left view v and has another entry there.
 */
function* lostCommit(stage: Stage): Script {
  yield () => stage.calm() && stage.uncommitted(0);
  const { view } = stage.replica(0);
  const c = (view + 1) % 3;
  const [a, b] = [0, 1, 2].filter((index) => index !== c) as [number, number];
  stage.cutBoth(a, b);
  stage.cutBoth(a, c);
  // From here on a and the others hear of different requests.
  stage.cutClients(a, true, (client) => client % 2 === 0);
  for (const other of [b, c]) stage.cutClients(other, true, (client) => client % 2 === 1);
  const { logEnd } = stage.replica(a);
  yield () => stage.replica(a).logEnd > logEnd && stage.replica(b).logEnd > logEnd && stage.replica(c).logEnd > logEnd;
  stage.cutClients(b);
  yield () => stage.entered(c, view + 1) && !stage.uncommitted(c);
  stage.cutBoth(c, b);
  yield () => stage.replica(b).view >= view + 2;
  stage.cutBoth(a, b, false);
  yield () => stage.entered(a, view + 2) && stage.entered(b, view + 2);
}

/**
 * A replica left behind in view v answers a request; the others answer the same one at the same place in view v+1. Then the
 * first joins them without it, takes another request in its place, and merges with one of them.
 */
function* staleAnswer(stage: Stage): Script {
  yield () => stage.calm() && stage.uncommitted(0);
  const { view, logEnd: shared } = stage.replica(0);
  const a = view % 3 === 0 ? 0 : (view + 2) % 3;
  const b = 2;
  const c = 3 - a - b;
  const one = view % stage.clients;
  stage.cutBoth(a, b);
  stage.cutBoth(a, c);
  // One client's requests only, and at first to this replica alone.
  stage.cutClients(a, true, (client) => client !== one);
  for (const other of [b, c]) stage.cutClients(other);
  yield () => stage.replica(a).logEnd > shared;
  stage.cutClients(a);
  yield () => stage.entered(b, view + 1) && stage.entered(c, view + 1);
  const { logEnd } = stage.replica(b);
  for (const other of [b, c]) stage.cutClients(other, false, (client) => client === one);
  yield () => stage.replica(b).logEnd > logEnd && stage.replica(c).logEnd > logEnd;
  for (const other of [b, c]) stage.cutClients(other);
  stage.cutBoth(a, b, false);
  stage.cutBoth(a, c, false);
  yield () => stage.entered(a, view + 1);
  stage.cutBoth(c, a);
  stage.cutBoth(c, b);
  stage.cutClients(a, false, (client) => client !== one);
  yield () => stage.entered(a, view + 2) && stage.entered(b, view + 2);
}

/**
 * START-VIEW of v+1 takes long to reach a replica; meanwhile the others have started v+2, whose COMMIT arrives first, and whose
 * START-VIEW does not.
 */
function* delayedStartView(stage: Stage): Script {
  yield () => stage.calm() && stage.uncommitted(0);
  const { view } = stage.replica(0);
  const [a, b, c] = [view % 3, (view + 1) % 3, (view + 2) % 3] as [number, number, number];
  stage.slow(b, a);
  stage.cut(a, b);
  stage.cutBoth(a, c);
  for (const other of [b, c]) stage.cutClients(other);
  yield () => stage.entered(b, view + 1) && stage.entered(c, view + 1);
  // One client alone is heard again: what it repeats comes in the order in which the first has it.
  const alone = view % stage.clients;
  for (const other of [b, c]) stage.cutClients(other, false, (client) => client === alone);
  yield () => stage.entered(c, view + 2) && !stage.uncommitted(c);
  stage.cut(c, a, false);
  const { committed } = stage.replica(a);
  yield () => stage.replica(a).committed > committed || stage.replica(a).view > view + 1;
  stage.cut(c, a);
  yield () => stage.entered(a, view + 1);
}

/** Of three replicas; seeds draw from these. */
const partitions = { lostCommit, staleAnswer, delayedStartView };

export const drawnScripts: readonly string[] = Object.keys(partitions);

const scripts: Record<string, (stage: Stage) => Script> = { ...partitions, shortLog, ...crashScripts };

export const scriptNames: readonly string[] = Object.keys(scripts);

/** What a script needs of the run besides its links. */
export interface ScriptDemands {
  replicas: number;
  mode: "speculative" | "adaptive";
  /** How long it takes to its end. */
  leastUs: number;
  /** Virtual time after which it gives up when it does not get on. */
  patienceUs: number;
}

const usual: ScriptDemands = { replicas: 3, mode: "speculative", leastUs: 0, patienceUs: 150_000 };

const demands: Record<string, Partial<ScriptDemands>> = {
  shortLog: { replicas: 5, mode: "adaptive", leastUs: 400_000 },
  lateQuorum: { leastUs: 600_000 },
  oldReconcile: { replicas: 5, leastUs: 6_000_000, patienceUs: 1_800_000 },
};

export function demandsOf(script: string): ScriptDemands {
  return { ...usual, ...demands[script] };
}

/**
 * f+1 replicas, of whom one was cut off and has a longer log than the others, make up a LEADER view. The others had something accepted in the
 * SPECULATIVE view before it, of which that one has nothing.
 */
function* shortLog(stage: Stage): Script {
  yield () => stage.calm() && stage.replica(0).mode === Mode.Speculative;
  const { view, logEnd } = stage.replica(0);
  const odd = 4;
  stage.connect([0, 1, 2, 3]);
  // One client for the four, all others for the one that is cut off.
  const one = view % stage.clients;
  stage.cutClients(odd, true, (client) => client === one);
  for (const other of [0, 1, 2, 3]) stage.cutClients(other, true, (client) => client !== one);
  yield () => [0, 1, 2, 3].every((index) => stage.replica(index).logEnd > logEnd);
  for (const other of [0, 1, 2, 3]) stage.cutClients(other);
  yield stage.after(500);
  const { logEnd: shared } = stage.replica(0);
  yield () => stage.replica(odd).logEnd > shared;
  stage.cutClients(odd);
  stage.connect([2, 3, odd]);
  const next = view + 1 + ((2 - ((view + 1) % 5) + 5) % 5);
  stage.leave(2, next);
  yield () => [2, 3, odd].every((index) => stage.entered(index, next));
}

/** Plays one script again and again until it is stopped. */
export class ScriptPlayer {
  played = 0;
  private script: Script | undefined;
  private condition: Condition | undefined;
  private sinceUs = 0;
  private stopped = true;
  private readonly stage: Stage;

  constructor(
    private readonly name: string,
    private readonly hub: NativeLoopHub,
    ports: Ports,
    replica: (index: number) => StageReplica,
    private readonly prng: Prng,
    actions: StageActions,
  ) {
    this.stage = new Stage(hub, ports, replica, actions);
  }

  start(): void {
    this.stopped = false;
  }
  stop(): void {
    this.stopped = true;
    this.script = undefined;
    this.stage.due.length = 0;
  }

  /** Between steps of the run. */
  step(): void {
    this.poll();
    for (let act = this.stage.due.shift(); act !== undefined; act = this.stage.due.shift()) act();
  }

  /** Goes on if it can. Called from within upcalls too. */
  poll(): void {
    if (this.stopped) return;
    const nowUs = this.hub.nowUs();
    if (this.script === undefined) {
      if (nowUs < this.sinceUs) return;
      this.script = scripts[this.name]!(this.stage);
      this.advance(nowUs);
    }
    while (this.condition?.()) {
      if (this.advance(nowUs)) return;
    }
    if (nowUs - this.sinceUs > demandsOf(this.name).patienceUs) this.end(nowUs);
  }

  /** True at the script's end. */
  private advance(nowUs: number): boolean {
    const step = this.script!.next();
    this.sinceUs = nowUs;
    if (!step.done) {
      this.condition = step.value;
      return false;
    }
    this.played++;
    this.end(nowUs);
    return true;
  }

  private end(nowUs: number): void {
    this.script = undefined;
    this.condition = undefined;
    this.stage.open();
    this.sinceUs = nowUs + this.prng.between(5_000, 40_000);
  }
}
