/** The disks of a simulated cluster, one a replica, on its virtual time. */
import { DurabilityLevel } from "../data/binding.js";
import { openStoredReplica, type StoredReplica } from "../data/durability/stored-replica.js";
import { SimulatedDisk } from "./disk.js";
import type { Prng } from "./prng.js";

/** Small files, so that short runs have several. */
const SegmentBytes = 64 * 1024;

interface Completion {
  atUs: number;
  order: number;
  replica: number;
  run(): void;
}

export class SimulatedDisks {
  readonly disks: SimulatedDisk[] = [];
  /** Replicas whose directory had to be repaired: their memory was lost. */
  repairs = 0;
  private queue: Completion[] = [];
  private order = 0;

  constructor(
    private readonly prng: Prng,
    replicas: number,
    private readonly nowUs: () => number,
    private readonly cluster: Uint8Array,
    private readonly syncUs: readonly [number, number],
    /** An operation began that completes then. */
    private readonly begun: (completesUs: number) => void,
  ) {
    for (let replica = 0; replica < replicas; replica++) this.replace(replica, `disk ${replica}`);
  }

  /** An empty disk takes the place of the replica's. */
  replace(replica: number, name: string): void {
    this.queue = this.queue.filter((completion) => completion.replica !== replica);
    const after = (delayUs: number, run: () => void): void => {
      const atUs = Math.ceil(this.nowUs() + delayUs);
      this.queue.push({ atUs, order: ++this.order, replica, run });
      this.begun(atUs);
    };
    this.disks[replica] = new SimulatedDisk({ prng: this.prng.split(name), after, syncUs: this.syncUs });
  }

  /** When the next operation completes. */
  get nextUs(): number {
    return this.queue.reduce((least, { atUs }) => Math.min(least, atUs), Number.POSITIVE_INFINITY);
  }

  /** Completes what is due, in order. */
  runDue(): void {
    for (let next = this.take(this.nowUs()); next; next = this.take(this.nowUs())) next.run();
  }

  /**
   * Opens a replica's directory, at once. A damaged one is repaired if `mayRepair`; else its error is thrown: losses of power alone
   * leave none.
   */
  open(replica: number, mayRepair: boolean): StoredReplica {
    try {
      return this.openNow(replica, false);
    } catch (error) {
      if (!mayRepair) throw error;
      this.repairs++;
      return this.openNow(replica, true);
    }
  }

  private openNow(replica: number, repair: boolean): StoredReplica {
    // Its index changes with the members: the directory knows it.
    const options = { level: DurabilityLevel.Sync, cluster: this.cluster, id: undefined, repair, segmentBytes: SegmentBytes };
    let opened: StoredReplica | undefined;
    let failure: Error | undefined;
    openStoredReplica(this.disks[replica] as SimulatedDisk, options, (error, stored) => {
      if (error) failure = error;
      else opened = stored;
    });
    while (!opened && !failure) {
      const next = this.take(Number.POSITIVE_INFINITY, replica);
      if (!next) throw new Error("the disk of a replica completes nothing");
      next.run();
    }
    if (!opened) throw failure as Error;
    return opened;
  }

  private take(dueUs: number, replica?: number): Completion | undefined {
    let first: Completion | undefined;
    for (const completion of this.queue) {
      if (completion.atUs > dueUs || (replica !== undefined && completion.replica !== replica)) continue;
      if (!first || completion.atUs < first.atUs || (completion.atUs === first.atUs && completion.order < first.order)) first = completion;
    }
    if (first) this.queue.splice(this.queue.indexOf(first), 1);
    return first;
  }
}
