import type { ReplicaProcesses } from "../replica-processes.js";
import type { StatusAnswer } from "./calls.js";
import type { Network } from "./network.js";
import type { Fault, FaultKind } from "./plan.js";

/** How long a kill waits for replicas that have not recovered yet before it is left out. */
const recoveryWaitMs = 5_000;
const pollMs = 100;

export interface FaultLog {
  kind: FaultKind;
  atMs: number;
  lengthMs: number;
  replicas: number[];
}

/** Does to the processes and their network what a plan says, and undoes it. */
export class FaultInjector {
  /** What was done, and how many kills had to be left out. */
  readonly log: FaultLog[] = [];
  skipped = 0;
  readonly #replicas: ReplicaProcesses;
  readonly #network: Network;
  readonly #status: () => Promise<StatusAnswer>;
  readonly #startMs = performance.now();
  /** Replicas whose memory is gone, until they are seen in status NORMAL again: at no time more than f of them. */
  readonly #memoryLost = new Set<number>();
  readonly #mostLost: number;

  constructor(replicas: ReplicaProcesses, network: Network, status: () => Promise<StatusAnswer>) {
    this.#replicas = replicas;
    this.#network = network;
    this.#status = status;
    this.#mostLost = (replicas.count - 1) >> 1;
  }

  /** Runs tracks of faults side by side; resolves when all that begin within the duration are over and undone. */
  async run(tracks: readonly (readonly Fault[])[], durationMs: number): Promise<void> {
    await Promise.all(tracks.map((track) => this.#runTrack(track, durationMs)));
  }

  async #runTrack(track: readonly Fault[], durationMs: number): Promise<void> {
    let lateMs = 0;
    for (const fault of track) {
      // On a busy machine every fault takes longer than planned: the run still ends when it should.
      if (fault.atMs + lateMs >= durationMs) return;
      await sleep(fault.atMs + lateMs - this.#elapsedMs());
      await this.#apply(fault);
      // What took longer than planned moves the rest: gaps are part of the plan.
      lateMs = Math.max(lateMs, this.#elapsedMs() - fault.atMs - fault.lengthMs);
    }
  }

  async #apply(fault: Fault): Promise<void> {
    switch (fault.kind) {
      case "kill":
      case "killf":
        return this.#kill(fault);
      case "pause":
      case "stall":
        return this.#pause(fault);
      default:
        this.#note(fault, []);
        this.#network.cut(fault.cuts);
        await sleep(fault.lengthMs);
        this.#network.heal(fault.cuts);
    }
  }

  async #kill(fault: Fault): Promise<void> {
    if (!(await this.#mayLose(fault.replicas.length))) {
      this.skipped++;
      return;
    }
    const victims = await this.#victims(fault);
    this.#note(fault, victims);
    for (const id of victims) this.#memoryLost.add(id);
    await Promise.all(victims.map((id) => this.#replicas.kill(id)));
    await sleep(fault.lengthMs);
    await Promise.all(victims.map((id) => this.#replicas.start(id)));
  }

  async #pause(fault: Fault): Promise<void> {
    const victims = await this.#victims(fault);
    this.#note(fault, victims);
    const paused = victims.filter((id) => this.#replicas.running(id));
    for (const id of paused) this.#replicas.pause(id);
    await sleep(fault.lengthMs);
    for (const id of paused) this.#replicas.resume(id);
  }

  async #mayLose(count: number): Promise<boolean> {
    const endMs = performance.now() + recoveryWaitMs;
    for (;;) {
      if (this.#memoryLost.size > 0) {
        const reports = await this.#status();
        for (const id of this.#memoryLost) if (reports[id]?.status === "normal") this.#memoryLost.delete(id);
      }
      if (this.#memoryLost.size + count <= this.#mostLost) return true;
      if (performance.now() > endMs) return false;
      await sleep(pollMs);
    }
  }

  /** The planned victims, with the leader of the highest view among them where the plan wants it. */
  async #victims({ replicas, leader }: Fault): Promise<number[]> {
    if (!leader) return replicas;
    const views = (await this.#status()).map((report) => report?.view ?? -1);
    const view = Math.max(...views);
    if (view < 0) return replicas;
    const first = view % this.#replicas.count;
    return replicas.includes(first) ? replicas : [first, ...replicas.slice(1)];
  }

  #note({ kind, lengthMs }: Fault, replicas: number[]): void {
    this.log.push({ kind, atMs: Math.round(this.#elapsedMs()), lengthMs, replicas });
  }

  #elapsedMs(): number {
    return performance.now() - this.#startMs;
  }
}

export function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, Math.max(0, ms)));
}
