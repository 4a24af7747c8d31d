/**
 * Follows the others to a later epoch without leaving the present one: a replica keeps its place there until it has the state that the later
 * epoch began with. Would it leave at once, and those who have that state die, too few were left in either epoch to go on.
 */
import type { ControlPlaneConfig } from "../control/context.js";
import type { Configuration, NewEpochMessage } from "../control/membership.js";
import type { Snapshot } from "../control/snapshot.js";
import { decodeEpochEnvelope, encodeEpochEnvelope } from "../control/snapshot-messages.js";
import { MessageType, type NativeReplicaEngine } from "./binding.js";
import type { ReplicaDataPlane } from "./replica-data-plane.js";
import { TakeOver } from "./take-over.js";

/** Without an answer for so long another epoch may be tried, when somebody tells of one. */
const StallUs = 2_000_000;

export interface FollowingOptions {
  engine: NativeReplicaEngine;
  data: ReplicaDataPlane;
  /** Of this replica as member `replica` of that configuration. */
  config(configuration: Configuration, replica: number): ControlPlaneConfig;
  /** The state at the end that `message` names, or a later one, is here: it was committed in `view` or before. */
  arrived(nowUs: number, message: NewEpochMessage, snapshot: Snapshot, view: number): void;
}

interface Target {
  message: NewEpochMessage;
  takeOver: TakeOver;
  heardUs: number;
}

export class Following {
  readonly #options: FollowingOptions;
  #target: Target | undefined;

  constructor(options: FollowingOptions) {
    this.#options = options;
  }

  /** Member `from` of the epoch that `message` tells of is in it. */
  begin(nowUs: number, from: number, message: NewEpochMessage): void {
    if (this.#target) return;
    const { engine, data, config, arrived } = this.#options;
    const { configuration, life, seqno, to } = message;
    const takeOver = new TakeOver({
      config: config(configuration, to),
      data,
      seqno,
      first: from,
      send: (member, body) => {
        const address = configuration.members[member]?.address;
        const envelope = encodeEpochEnvelope({ life, epoch: configuration.epoch, replica: to }, body);
        if (address) engine.sendToAddress({ to: address }, MessageType.FetchEpochState, envelope);
      },
      done: (doneUs, snapshot, view) => {
        this.stop();
        arrived(doneUs, message, snapshot, view);
      },
    });
    this.#target = { message, takeOver, heardUs: nowUs };
  }

  /** EPOCH-STATE. False: malformed. */
  onEpochState(nowUs: number, body: Uint8Array): boolean {
    const envelope = decodeEpochEnvelope(body);
    const target = this.#target;
    if (!envelope) return false;
    const { life, configuration } = target?.message ?? {};
    if (!target || envelope.life !== life || envelope.epoch !== configuration?.epoch) return true;
    target.heardUs = nowUs;
    return target.takeOver.onFrame(nowUs, envelope.replica, MessageType.SnapshotChunk, envelope.body);
  }

  onVerified(nowUs: number, snapshot: Snapshot, valid: boolean): void {
    this.#target?.takeOver.onVerified(nowUs, snapshot, valid);
  }

  onTimer(nowUs: number): void {
    const target = this.#target;
    if (!target) return;
    if (nowUs >= target.heardUs + StallUs && !target.takeOver.verifying) this.stop();
    else if (nowUs >= target.takeOver.deadlineUs) target.takeOver.onTimer(nowUs);
  }

  get deadlineUs(): number {
    return this.#target?.takeOver.deadlineUs ?? Number.POSITIVE_INFINITY;
  }

  stop(): void {
    this.#target = undefined;
  }
}
