/** Turns changes of a replica's status words into events: no other part has to think of telling. */
import { modeNames } from "../status.js";
import { ReplicaStatus, StatusWord } from "./binding.js";
import type { ReplicaEvent } from "./events.js";

/** Who is silent is compared so often at most: that takes a copy of the list. */
const SilenceIntervalUs = 50_000;

/** What the control plane says about itself. */
export interface ObservedControl {
  readonly leader: number;
  readonly unheard: readonly number[];
  readonly lastReason: string;
}

export class ReplicaObserver {
  readonly #replica: number;
  readonly #words: Float64Array;
  readonly #control: () => ObservedControl;
  readonly #onEvent: (event: ReplicaEvent) => void;
  #view = 0;
  #mode = 0;
  #checkpoint = 0;
  /** When the replica left NORMAL; undefined while it has not. */
  #leftNormalUs: number | undefined;
  #silent: readonly number[] = [];
  #silenceUs = 0;

  /** `onEvent` is called synchronously and must not throw. */
  constructor(replica: number, words: Float64Array, control: () => ObservedControl, onEvent: (event: ReplicaEvent) => void) {
    this.#replica = replica;
    this.#words = words;
    this.#control = control;
    this.#onEvent = onEvent;
  }

  /** After whatever may have changed the words; a few comparisons when nothing did. */
  observe(nowUs: number): void {
    if (this.#word(StatusWord.Status) === ReplicaStatus.Reconciliation) this.#leftNormalUs ??= nowUs;
    const view = this.#word(StatusWord.View);
    // What a life begins with is no switch.
    if (view === 0) this.#mode = this.#word(StatusWord.Mode);
    if (view !== this.#view) {
      this.#view = view;
      const { leader, lastReason } = this.#control();
      this.#onEvent({ type: "view-changed", replica: this.#replica, view, leader, reason: lastReason });
    }
    const checkpoint = this.#word(StatusWord.Checkpoint);
    if (checkpoint !== this.#checkpoint) {
      this.#checkpoint = checkpoint;
      this.#onEvent({ type: "checkpoint-taken", replica: this.#replica, seqno: checkpoint });
    }
    if (nowUs >= this.#silenceUs) {
      this.#silenceUs = nowUs + SilenceIntervalUs;
      this.#observeSilence();
    }
  }

  /** The log of `view` was installed just now. */
  installed(nowUs: number, view: number, rolledBack: number, installed: number): void {
    this.observe(nowUs);
    const durationMs = this.#leftNormalUs === undefined ? 0 : (nowUs - this.#leftNormalUs) / 1000;
    this.#leftNormalUs = undefined;
    const word = this.#word(StatusWord.Mode);
    const mode = modeNames[word] ?? "speculative";
    this.#onEvent({ type: "installed", replica: this.#replica, view, mode, rolledBack, installed, durationMs });
    if (word === this.#mode) return;
    this.#mode = word;
    this.#onEvent({ type: "mode-switched", replica: this.#replica, view, mode });
  }

  #observeSilence(): void {
    const { unheard: silent } = this.#control();
    const before = this.#silent;
    if (silent.length === 0 && before.length === 0) return;
    this.#silent = silent;
    for (const peer of silent) if (!before.includes(peer)) this.#onEvent({ type: "peer-silent", replica: this.#replica, peer });
    for (const peer of before) if (!silent.includes(peer)) this.#onEvent({ type: "peer-heard", replica: this.#replica, peer });
  }

  #word(word: number): number {
    return this.#words[word] as number;
  }
}
