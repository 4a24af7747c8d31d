/** Scripts in which replicas lose their memory while messages from before are under way (see scripts.ts). */
import { ReplicaStatus } from "../data/binding.js";
import type { Script, Stage } from "./stage.js";

const FLIGHT_US = 120_000;

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

export const crashScripts: Record<string, (stage: Stage) => Script> = { lateQuorum };
