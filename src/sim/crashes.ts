/** Kills and restarts of replicas: no more at a time are dead or without their memory than the protocol promises to bear. */
import type { SimulatedCluster } from "./cluster.js";
import type { Prng } from "./prng.js";
import type { Crashes } from "./schedule.js";

export class ReplicaCrashes implements Crashes {
  /** Replicas that die in the middle of their next install or commit. */
  private readonly armed = new Set<number>();
  killed = 0;

  constructor(
    private readonly cluster: () => SimulatedCluster,
    private readonly mayLose: (place: number) => boolean,
    private readonly prng: Prng,
  ) {}

  kill(replica: number, within: boolean): void {
    const cluster = this.cluster();
    if (cluster.host(replica) === undefined || !this.mayLose(replica)) return;
    if (within) {
      this.armed.add(replica);
      return;
    }
    this.armed.delete(replica);
    this.killed++;
    cluster.crash(replica);
  }

  restart(replica: number): void {
    this.armed.delete(replica);
    if (this.cluster().isDead(replica)) this.cluster().restart(replica, this.prng.split(`restart ${this.killed} ${replica}`));
  }

  /** In the middle of an install or commit of this replica. */
  reached(replica: number): void {
    if (this.armed.has(replica)) this.kill(replica, false);
  }
}
