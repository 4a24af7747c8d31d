/**
 * Scripted partitions for three replicas: each sets the stage for one trap of the protocol, by watching the replicas and
 * cutting links at the very step where it hurts. Chance alone hardly ever lines these steps up. With the rules in force
 * nothing comes of them.
 *
 * A script is a generator: it yields conditions and goes on when they hold; each is looked at after every step of the run
 * and in the middle of an install or a commit, before the frames that follow from it are sent.
 */
import { type NativeLoopHub, ReplicaStatus } from "../data/binding.js";
import { cleanPath, type Ports } from "./paths.js";
import type { Prng } from "./prng.js";

/** What a script sees of a replica. */
export interface StageReplica {
  view: number;
  status: number;
  logEnd: number;
  committed: number;
}

export type Condition = () => boolean;
type Script = Generator<Condition, void, void>;

/** Virtual time after which a script that does not get on gives up. */
const PATIENCE_US = 150_000;
const SLOW_US = 80_000;

class Stage {
  constructor(
    private readonly hub: NativeLoopHub,
    private readonly ports: Ports,
    readonly replica: (index: number) => StageReplica,
  ) {}

  get clients(): number {
    return this.ports.clients.length;
  }
  cut(from: number, to: number, cut = true): void {
    this.hub.setBlocked(this.ports.replicas[from]!, this.ports.replicas[to]!, cut);
  }
  cutBoth(a: number, b: number, cut = true): void {
    this.cut(a, b, cut);
    this.cut(b, a, cut);
  }
  /** Requests of the clients with these indexes (all by default) to a replica; its replies still arrive. */
  cutClients(to: number, cut = true, which: (client: number) => boolean = () => true): void {
    for (const [index, port] of this.ports.clients.entries()) if (which(index)) this.hub.setBlocked(port, this.ports.replicas[to]!, cut);
  }
  slow(from: number, to: number): void {
    this.hub.setPath(this.ports.replicas[from]!, this.ports.replicas[to]!, { ...cleanPath, baseDelayUs: SLOW_US });
  }
  /** NORMAL in `view` or a later one. */
  entered(index: number, view: number): boolean {
    const { view: own, status } = this.replica(index);
    return own >= view && status === ReplicaStatus.Normal;
  }
  uncommitted(index: number): boolean {
    const { logEnd, committed } = this.replica(index);
    return logEnd > committed;
  }
  calm(): boolean {
    const first = this.replica(0);
    return [0, 1, 2].every((index) => {
      const { view, status, logEnd } = this.replica(index);
      return status === ReplicaStatus.Normal && view === first.view && logEnd === first.logEnd;
    });
  }
  open(): void {
    const all = [...this.ports.replicas, ...this.ports.clients];
    for (const from of all) {
      for (const to of all) {
        this.hub.setPath(from, to, cleanPath);
        this.hub.setBlocked(from, to, false);
      }
    }
  }
}

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

const scripts: Record<string, (stage: Stage) => Script> = { lostCommit, staleAnswer, delayedStartView };

export const scriptNames: readonly string[] = Object.keys(scripts);

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
  ) {
    this.stage = new Stage(hub, ports, replica);
  }

  start(): void {
    this.stopped = false;
  }
  stop(): void {
    this.stopped = true;
    this.script = undefined;
  }

  /** Goes on if it can. Called between steps of the run and from within upcalls. */
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
    if (nowUs - this.sinceUs > PATIENCE_US) this.end(nowUs);
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
