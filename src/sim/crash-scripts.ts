/** Scripts in which replicas lose their memory while messages from before are under way (see scripts.ts). */
import { ReplicaStatus } from "../data/binding.js";
import type { Script, Stage } from "./stage.js";

const FLIGHT_US = 120_000;
/** Longer than it takes to come back without memory. */
const LONG_US = 400_000;
/** More than there are in the meantime. */
const FAR_VIEWS = 200;

/** The first view from `from` on that `leader`, of n, leads. */
function viewOf(leader: number, from: number, n: number): number {
  return from + ((leader - (from % n) + n) % n);
}

/**
 * What a replica says of its log for view w, whose leader waits for it, takes long. Meanwhile it goes on with the third one to a later view,
 * where something is committed; that one loses its memory. Then view w begins, without what was committed, and its quorum knew of no crash.
 */
function* lateQuorum(stage: Stage): Script {
  yield () => stage.calm();
  const { view, logEnd } = stage.replica(0);
  const [a, b, c] = [0, 1, 2] as const;
  const one = view % stage.clients;
  stage.connect([]);
  stage.cutClients(a);
  stage.cutClients(b);
  stage.cutClients(c, true, (client) => client !== one);
  yield () => stage.replica(c).logEnd > logEnd;
  stage.cutClients(c);
  const early = viewOf(b, view + 1, 3);
  stage.cut(b, a, false);
  stage.slow(a, b, FLIGHT_US);
  stage.cut(a, b, false);
  stage.leave(b, early);
  yield () => stage.replica(a).view === early;
  yield stage.after(300);
  stage.connect([a, c]);
  const later = viewOf(a, early + 1, 3);
  stage.leave(c, later);
  yield () => stage.entered(a, later) && stage.replica(a).committed > logEnd;
  stage.kill(c);
  stage.restart(c);
  for (const other of [a, b]) stage.cutBoth(other, c, false);
  yield () => stage.replica(c).status === ReplicaStatus.Recovery;
  yield stage.after(60_000);
  stage.cutBoth(a, c);
  yield () => stage.entered(b, early) && stage.entered(c, early);
  for (const other of [b, c]) stage.cutClients(other, false, (client) => client !== one);
  yield () => stage.replica(b).committed > logEnd;
}

/**
 * Of five replicas `late` enters view w, for two others seem to be in it, which have lost their memory since and are in lower views. What it
 * says of its log takes long to w's leader; meanwhile it loses its memory itself and comes back in a lower view, and then `witness` does, which
 * knew of that. The leader, cut off, hears of it all by a START-VIEW alone. All but the leader accept an operation. Then view w begins with the
 * leader, the witness, and a log from before the crash.
 */
function* oldReconcile(stage: Stage): Script {
  yield () => stage.calm();
  const { view } = stage.replica(0);
  const [leader, witness, early, other, late] = [1, 2, 0, 3, 4] as const;
  const w = viewOf(leader, view + FAR_VIEWS, 5);
  const one = view % stage.clients;
  for (const replica of stage.replicas) stage.cutClients(replica);
  const heardUs = stage.nowUs + 2 * LONG_US;
  for (const gone of [early, other]) {
    stage.connect([]);
    // Within moments of each other, or `late` gives the view up before the second.
    stage.detour(gone, late, heardUs - stage.nowUs);
    stage.cut(gone, late, false);
    stage.leave(gone, w);
    yield () => stage.replica(gone).view === w;
    yield stage.after(100);
    stage.normal(gone, late);
    yield* loseMemory(stage, gone, stage.replicas);
  }
  stage.connect(stage.replicas.filter((replica) => replica !== late));
  for (const hearing of [leader, witness]) {
    stage.detour(late, hearing, 3 * LONG_US);
    stage.cut(late, hearing, false);
  }
  yield () => stage.replica(late).view === w;
  yield stage.after(1000);
  for (const hearing of [leader, witness]) stage.normal(late, hearing);
  const rest = [witness, early, other, late];
  yield* loseMemory(stage, late, rest);
  yield* loseMemory(stage, witness, rest);
  stage.connect(stage.replicas);
  yield () => stage.calm();
  const { logEnd } = stage.replica(leader);
  stage.connect([]);
  for (const replica of rest) stage.cutClients(replica, false, (client) => client === one);
  stage.cutClients(leader, false, (client) => client !== one);
  yield () => stage.replicas.every((replica) => stage.replica(replica).logEnd > logEnd);
  for (const replica of stage.replicas) stage.cutClients(replica);
  stage.connect([leader, witness]);
  yield () => stage.entered(leader, w) && stage.entered(witness, w);
}

/** It dies, and comes back among these. */
function* loseMemory(stage: Stage, replica: number, among: readonly number[]): Script {
  stage.kill(replica);
  stage.restart(replica);
  stage.connect(among);
  yield () => stage.replica(replica).status === ReplicaStatus.Recovery;
  yield () => among.every((index) => stage.entered(index, 0));
}

export const crashScripts: Record<string, (stage: Stage) => Script> = { lateQuorum, oldReconcile };
