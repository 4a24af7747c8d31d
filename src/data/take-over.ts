/** Fetches the state that an epoch began with, for one of its members that does not have it. */
import { Context, type ControlPlaneConfig } from "../control/context.js";
import type { Snapshot } from "../control/snapshot.js";
import { SnapshotFetch } from "../control/snapshot-fetch.js";
import { decodeSnapshotChunk } from "../control/snapshot-messages.js";
import { MessageType } from "./binding.js";
import type { ReplicaDataPlane } from "./replica-data-plane.js";

/** When all others were asked in vain, they are asked again. */
const AgainUs = 100_000;

export interface TakeOverOptions {
  config: ControlPlaneConfig;
  data: ReplicaDataPlane;
  /** Of the oldest state that will do. */
  seqno: number;
  /** Who is asked first. */
  first?: number;
  /** How FETCH-SNAPSHOT gets there, where the replica is not in that epoch yet. */
  send?(to: number, body: Uint8Array): void;
  /** The state at `seqno` or later is here: it was committed in `view` or before. */
  done(nowUs: number, snapshot: Snapshot, view: number): void;
}

export class TakeOver {
  readonly #options: TakeOverOptions;
  readonly #fetch: SnapshotFetch;
  /** Who is asked, in this order. */
  readonly #others: number[];
  #againUs = 0;

  constructor(options: TakeOverOptions) {
    this.#options = options;
    const { config, data, first, send } = options;
    const context = send ? new ElsewhereContext(config, data, send) : new Context(config, data);
    this.#fetch = new SnapshotFetch(context);
    const members = Array.from({ length: context.n }, (_, replica) => replica);
    const order = first === undefined ? members : [first, ...members.filter((replica) => replica !== first)];
    this.#others = order.filter((replica) => replica !== context.replica);
  }

  /** Whether all of it is here, and its digest is being computed. */
  get verifying(): boolean {
    return this.#fetch.verifying;
  }

  onTimer(nowUs: number): void {
    this.#fetch.onTimer(nowUs);
    if (this.#fetch.running || nowUs < this.#againUs) return;
    this.#againUs = nowUs + AgainUs;
    this.#fetch.start(nowUs, this.#others, this.#options.seqno, (doneUs, snapshot) =>
      this.#options.done(doneUs, snapshot, this.#fetch.view),
    );
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

/** Of another epoch than the data plane is in. */
class ElsewhereContext extends Context {
  constructor(
    config: ControlPlaneConfig,
    data: ReplicaDataPlane,
    private readonly sendThere: (to: number, body: Uint8Array) => void,
  ) {
    super(config, data);
  }

  override send(to: number, _type: MessageType, body: Uint8Array): void {
    this.sendThere(to, body);
  }
}
