/**
 * Kills and restarts of replicas: without disks no more at a time are dead or without their memory than the protocol promises to bear; with
 * disks any number may die, and at most f disks fail.
 */
import { IdentityName } from "../data/storage/identity.js";
import type { SimulatedCluster } from "./cluster.js";
import type { SimulatedDisk } from "./disk.js";
import type { Prng } from "./prng.js";
import type { Crashes, DiskFault } from "./schedule.js";

export class ReplicaCrashes implements Crashes {
  /** Replicas that die in the middle of their next install or commit. */
  private readonly armed = new Set<number>();
  /** Replicas whose disk is, or was, not well. */
  private readonly unwell = new Set<number>();
  killed = 0;

  constructor(
    private readonly cluster: () => SimulatedCluster,
    private readonly mayLose: (place: number) => boolean,
    private readonly prng: Prng,
  ) {}

  kill(replica: number, within: boolean): void {
    const cluster = this.cluster();
    if (cluster.host(replica) === undefined || !this.mayDie(replica)) return;
    if (within) this.armed.add(replica);
    else this.die(replica, cluster.disks !== undefined && this.prng.chance(0.5));
  }

  restart(replica: number): void {
    this.armed.delete(replica);
    const cluster = this.cluster();
    const disk = cluster.diskOf(replica);
    if (disk) this.heal(disk);
    if (cluster.storageLost.has(replica)) this.die(replica, false);
    if (cluster.isDead(replica)) cluster.restart(replica, this.prng.split(`restart ${this.killed} ${replica}`), this.unwell.has(replica));
  }

  losePower(replicas: readonly number[]): void {
    for (const replica of replicas) if (this.cluster().host(replica) && this.mayDie(replica)) this.die(replica, true);
  }

  private mayDie(replica: number): boolean {
    return this.cluster().lasts(replica) || this.mayLose(replica);
  }

  failDisk(replica: number, fault: DiskFault): void {
    const disk = this.cluster().diskOf(replica);
    if (!disk) return;
    this.unwell.add(replica);
    const files = disk.files();
    if (fault === "full") disk.capacityBytes = files.reduce((sum, { bytes }) => sum + bytes, 0);
    else if (fault === "failedSync") disk.failNextSync = true;
    else if (fault === "failedWrite") disk.failNextWrite = true;
    else {
      if (this.cluster().host(replica)) this.die(replica, false);
      const file = this.prng.pick(files.filter(({ name }) => name !== IdentityName));
      // In the end of a log it can't be told from a write that was never completed, which is another replica's memory lost in silence.
      if (file.bytes > 2) disk.rot(file.name, this.prng.below(Math.floor(file.bytes / 2)), this.prng.below(8));
    }
  }

  /** A second one, by chance at the same operation, would leave it open who of them failed alone. */
  failMachine(replica: number): void {
    const cluster = this.cluster();
    const ill = cluster.replicaPorts.some((_, place) => cluster.isIll(place));
    if (!ill && this.mayLose(replica)) cluster.machineOf(replica)?.failNext(`the machine at ${replica} is ill`);
  }

  replaceMachine(replica: number): void {
    const cluster = this.cluster();
    if (!cluster.isHalted(replica) || !this.mayDie(replica)) return;
    this.die(replica, false);
    this.restart(replica);
  }

  /** Machines are well, those that are halted are replaced as soon as that may be. */
  mendMachines(): void {
    const cluster = this.cluster();
    for (let replica = 0; replica < cluster.replicaPorts.length; replica++) {
      cluster.machineOf(replica)?.failNext(undefined);
      this.replaceMachine(replica);
    }
  }

  /** All disks are well, and all replicas run. */
  mend(): void {
    const cluster = this.cluster();
    for (let replica = 0; replica < cluster.replicaPorts.length; replica++) this.restart(replica);
  }

  /** In the middle of an install or commit of this replica. */
  reached(replica: number): void {
    if (this.armed.has(replica)) this.kill(replica, false);
  }

  private die(replica: number, powerLoss: boolean): void {
    this.armed.delete(replica);
    this.killed++;
    this.cluster().crash(replica, powerLoss);
  }

  private heal(disk: SimulatedDisk): void {
    disk.capacityBytes = Number.POSITIVE_INFINITY;
    disk.failNextSync = false;
    disk.failNextWrite = false;
  }
}
