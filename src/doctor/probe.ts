/** What the members of a cluster answer to the questions of `squall doctor`. Asks; judges nothing. */
import { randomBytes } from "node:crypto";
import type { Cluster } from "../config-types.js";
import { MessageType } from "../data/binding.js";
import { openTool, type ToolChannel } from "../data/tool.js";
import { parseReport } from "../query-status.js";
import type { ReplicaReport } from "../status.js";

const NonceBytes = 16;
const WelcomeBytes = 48;
const LifeIdBytes = 16;
/** A frame around its body: native/wire/frame.h. */
export const FrameOverheadBytes = 88;
/** Sizes tried when the configured one does not come through, in bytes of the UDP payload. */
const SmallerDatagrams = [8_900, 1_452, 1_400, 1_232, 1_024, 512];
const ClockSamples = 5;

export type RejectReason = "version" | "cluster" | "key";
const rejectReasons: Record<number, RejectReason> = { 3: "version", 4: "cluster", 8: "key" };

export interface Datagrams {
  /** Largest size, in bytes of the UDP payload, that reached the replica; and that came back from it. 0: none of those tried. */
  there: number;
  back: number;
}

export interface MemberEvidence {
  /** WELCOME came: the key is accepted. `lifeId` is undefined while the replica is blank. */
  welcome: { lifeId: string | undefined } | undefined;
  /** Unauthentic: a hint only. */
  reject: RejectReason | undefined;
  report: ReplicaReport | undefined;
  /** The replica's clock minus this machine's, and by how much that may be wrong, in ms. */
  clock: { offsetMs: number; errorMs: number } | undefined;
  datagrams: Datagrams | undefined;
}

/** A channel to one member alone: whatever arrives on it comes from that address. */
class Member {
  readonly evidence: MemberEvidence = { welcome: undefined, reject: undefined, report: undefined, clock: undefined, datagrams: undefined };
  readonly #tool: ToolChannel;
  readonly #id: number;
  readonly #datagramBytes: number;
  readonly #welcomed = new Set<string>();
  #answerBytes: number | undefined;

  constructor(cluster: Cluster, id: number) {
    this.#id = id;
    this.#datagramBytes = cluster.datagramBytes;
    this.#tool = openTool(cluster, "client", (type, from, body) => this.#onMessage(type, from, body));
  }

  close(): void {
    this.#tool.close();
  }

  async examine(deadlineMs: number): Promise<void> {
    await this.#greet(deadlineMs);
    if (this.evidence.welcome === undefined) return;
    await this.#readClock(deadlineMs);
    if (this.evidence.report === undefined) return;
    await this.#measureDatagrams(deadlineMs);
  }

  async #greet(deadlineMs: number): Promise<void> {
    const nonce = randomBytes(NonceBytes);
    await this.#tool.run(deadlineMs, (due) => {
      if (due) this.#tool.send(this.#id, MessageType.Hello, nonce);
      return this.evidence.welcome !== undefined;
    });
  }

  /** The sample with the shortest round trip; one that had to be repeated says nothing about the clock. */
  async #readClock(deadlineMs: number): Promise<void> {
    const endMs = performance.now() + deadlineMs;
    for (let sample = 0; sample < ClockSamples && performance.now() < endMs; sample++) {
      let sentMs = 0;
      let sends = 0;
      this.#answerBytes = undefined;
      const answered = await this.#tool.run(Math.max(1, endMs - performance.now()), (due) => {
        if (this.#answerBytes !== undefined) return true;
        if (due) {
          sends++;
          sentMs = Date.now();
          this.#tool.send(this.#id, MessageType.StatusRequest, Uint8Array.of(0));
        }
        return false;
      });
      const { report } = this.evidence;
      if (!answered || report === undefined || sends > 1 || typeof report.timeMs !== "number") continue;
      // Clocks of whole milliseconds: one more either way.
      const errorMs = (Date.now() - sentMs) / 2 + 1;
      if (this.evidence.clock === undefined || errorMs < this.evidence.clock.errorMs) {
        this.evidence.clock = { offsetMs: report.timeMs - (sentMs + Date.now()) / 2, errorMs };
      }
    }
  }

  /** From the configured size down, until one comes through both ways. */
  async #measureDatagrams(deadlineMs: number): Promise<void> {
    const found: Datagrams = { there: 0, back: 0 };
    this.evidence.datagrams = found;
    for (const size of [this.#datagramBytes, ...SmallerDatagrams.filter((smaller) => smaller < this.#datagramBytes)]) {
      // A greeting is answered by a few bytes and names its nonce; a status request is answered by at least as many as it has.
      const greeting = Buffer.alloc(size - FrameOverheadBytes);
      randomBytes(NonceBytes).copy(greeting);
      const nonce = greeting.toString("hex", 0, NonceBytes);
      const question = Buffer.alloc(size - FrameOverheadBytes);
      this.#answerBytes = undefined;
      const isBack = (): boolean => (this.#answerBytes ?? 0) >= question.length;
      await this.#tool.run(deadlineMs, (due) => {
        if (due && !this.#welcomed.has(nonce)) this.#tool.send(this.#id, MessageType.Hello, greeting);
        if (due && !isBack()) this.#tool.send(this.#id, MessageType.StatusRequest, question);
        return this.#welcomed.has(nonce) && isBack();
      });
      if (this.#welcomed.has(nonce)) found.there = Math.max(found.there, size);
      if (isBack()) found.back = Math.max(found.back, size);
      if (found.there > 0 && found.back > 0) return;
    }
  }

  #onMessage(type: number, from: number, body: Uint8Array): void {
    if (type === MessageType.Reject) {
      this.evidence.reject ??= rejectReasons[body[0] ?? 0];
    } else if (from !== this.#id) {
      return;
    } else if (type === MessageType.Welcome && body.length >= WelcomeBytes) {
      const bytes = Buffer.from(body.buffer, body.byteOffset, body.length);
      this.#welcomed.add(bytes.toString("hex", 0, NonceBytes));
      const life = bytes.subarray(NonceBytes, NonceBytes + LifeIdBytes);
      this.evidence.welcome = { lifeId: life.every((byte) => byte === 0) ? undefined : life.toString("hex") };
    } else if (type === MessageType.StatusReply) {
      const report = parseReport(body);
      if (report === undefined) return;
      this.evidence.report = report;
      this.#answerBytes = body.length;
    }
  }
}

/** Asks the members `ids`, all at once; a member that is not there takes `deadlineMs`. */
export async function examineMembers(cluster: Cluster, ids: readonly number[], deadlineMs: number): Promise<MemberEvidence[]> {
  const members = ids.map((id) => new Member(cluster, id));
  try {
    await Promise.all(members.map((member) => member.examine(deadlineMs)));
    return members.map(({ evidence }) => evidence);
  } finally {
    for (const member of members) member.close();
  }
}

/**
 * Which of the members `ids`, that are reached directly, are also reached by the multicast group or the relay: a greeting goes that
 * way, the answer comes straight back.
 */
export async function reachedByTarget(cluster: Cluster, ids: readonly number[], deadlineMs: number): Promise<Set<number>> {
  const direct = randomBytes(NonceBytes);
  const greeted = new Set<number>();
  const reached = new Set<number>();
  let byTarget = randomBytes(NonceBytes);
  const tool = openTool(cluster, "client", (type, from, body) => {
    if (type !== MessageType.Welcome || body.length < WelcomeBytes) return;
    const nonce = body.subarray(0, NonceBytes);
    if (Buffer.compare(nonce, direct) === 0) greeted.add(from);
    else if (Buffer.compare(nonce, byTarget) === 0) reached.add(from);
  });
  try {
    // A replica answers where it was greeted from directly.
    await tool.run(deadlineMs, (due) => {
      for (const id of ids) if (due && !greeted.has(id)) tool.send(id, MessageType.Hello, direct);
      return ids.every((id) => greeted.has(id));
    });
    byTarget = randomBytes(NonceBytes);
    await tool.run(deadlineMs, (due) => {
      if (due) tool.sendToAll(MessageType.Hello, byTarget);
      return ids.every((id) => reached.has(id));
    });
    return reached;
  } finally {
    tool.close();
  }
}
