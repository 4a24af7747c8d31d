/** Fetches the state that a new epoch began with, for a replica that joins it. */
import { Context, type ControlPlaneConfig } from "../control/context.js";
import type { Snapshot } from "../control/snapshot.js";
import { SnapshotFetch } from "../control/snapshot-fetch.js";
import { decodeSnapshotChunk } from "../control/snapshot-messages.js";
import { MessageType } from "./binding.js";
import type { ReplicaDataPlane } from "./replica-data-plane.js";

/** When all others were asked in vain, they are asked again. */
const AgainUs = 100_000;

export class TakeOver {
  readonly #context: Context;
  readonly #data: ReplicaDataPlane;
  readonly #fetch: SnapshotFetch;
  readonly #seqno: number;
  readonly #done: (nowUs: number, snapshot: Snapshot, view: number) => void;
  #againUs = 0;

  /** `done` is called once the state at `seqno` or later is restored here: it was committed in `view` or before. */
  constructor(
    config: ControlPlaneConfig,
    data: ReplicaDataPlane,
    seqno: number,
    done: (nowUs: number, snapshot: Snapshot, view: number) => void,
  ) {
    this.#context = new Context(config, data);
    this.#data = data;
    this.#fetch = new SnapshotFetch(this.#context);
    this.#seqno = seqno;
    this.#done = done;
  }

  onTimer(nowUs: number): void {
    this.#fetch.onTimer(nowUs);
    if (this.#fetch.running || nowUs < this.#againUs) return;
    this.#againUs = nowUs + AgainUs;
    const others = Array.from({ length: this.#context.n }, (_, replica) => replica).filter((replica) => replica !== this.#context.replica);
    this.#fetch.start(nowUs, others, this.#seqno, (doneUs, snapshot) => {
      if (this.#data.restore(snapshot)) this.#done(doneUs, snapshot, this.#fetch.view);
    });
  }

  /** False: malformed. */
  onFrame(nowUs: number, from: number, type: number, body: Uint8Array): boolean {
    if (type !== MessageType.SnapshotChunk) return true;
    const message = decodeSnapshotChunk(body);
    return message !== undefined && this.#fetch.onChunk(nowUs, from, message);
  }

  onVerified(nowUs: number, snapshot: Snapshot, valid: boolean): void {
    this.#fetch.onVerified(nowUs, snapshot, valid);
  }

  get deadlineUs(): number {
    return this.#fetch.running ? this.#fetch.deadlineUs : this.#againUs;
  }
}
