/**
 * Agreement on an operation at which the machine failed. A replica whose machine fails halts and tells the others; once
 * every replica that answers has failed alike (a majority at least), the failure belongs to the operation, not to the
 * replica, and execution goes on. A replica that failed alone stays halted: its machine is not deterministic.
 * Pure: time and messages come from outside.
 */
import { readUint64, writeUint64 } from "./seqno.js";

const RepeatUs = 20_000;
/** A replica that has not answered for so long does not hold the others up. */
const SilentUs = 1_000_000;
/** Failures remembered for replicas that reach the same operation later. */
const RememberedFailures = 1024;

/** An announcement asks for answers; an answer never does, or two replicas would answer each other for ever. */
const Kind = { Announce: 0, Failed: 1, Executed: 2, NotThere: 3 } as const;
const BodyBytes = 1 + 8 + 32 + 32;

export interface FaultPort {
  send(to: number, body: Uint8Array): void;
  /** The highest executed seqno. */
  executed(): number;
  hashAt(seqno: number): Uint8Array;
  /** All have failed alike at `seqno`: execution goes on. */
  resume(seqno: number): void;
}

interface Failure {
  seqno: number;
  hash: Uint8Array;
  digest: Uint8Array;
}

export class FaultAgreement {
  readonly #replica: number;
  readonly #n: number;
  readonly #port: FaultPort;
  readonly #answers: number[]; // Kind, or -1: none
  readonly #heardUs: number[];
  readonly #past: Failure[] = [];
  #current: Failure | undefined;
  #sinceUs = 0;
  #nextUs = Number.POSITIVE_INFINITY;

  constructor(replica: number, n: number, port: FaultPort) {
    this.#replica = replica;
    this.#n = n;
    this.#port = port;
    this.#answers = new Array<number>(n).fill(-1);
    this.#heardUs = new Array<number>(n).fill(0);
  }

  /** The machine failed at `seqno`; `digest` says how. The announcement goes out with the next onTimer. */
  begin(nowUs: number, seqno: number, hash: Uint8Array, digest: Uint8Array): void {
    this.#current = { seqno, hash, digest };
    this.#sinceUs = nowUs;
    this.#nextUs = nowUs;
    this.#answers.fill(-1);
  }

  /** The failed operation was rolled back. */
  cancel(): void {
    this.#current = undefined;
    this.#nextUs = Number.POSITIVE_INFINITY;
  }

  nextDeadlineUs(): number {
    return this.#nextUs;
  }

  onTimer(nowUs: number): void {
    if (this.#current === undefined || nowUs < this.#nextUs) return;
    this.#nextUs = nowUs + RepeatUs;
    this.#port.send(-1, encode(Kind.Announce, this.#current));
    this.#decide(nowUs);
  }

  onMessage(nowUs: number, from: number, body: Uint8Array): void {
    if (body.length !== BodyBytes || from === this.#replica || from < 0 || from >= this.#n) return;
    const kind = body[0] as number;
    const failed = kind === Kind.Announce || kind === Kind.Failed;
    const seqno = readUint64(body, 1);
    const hash = body.subarray(9, 41);
    const digest = body.subarray(41, 73);
    const current = this.#current;
    if (current !== undefined && current.seqno === seqno && same(current.hash, hash)) {
      // Another failure at the same operation counts as "no failure like mine".
      this.#answers[from] = !failed ? kind : same(current.digest, digest) ? Kind.Failed : Kind.Executed;
      this.#heardUs[from] = nowUs;
      this.#decide(nowUs);
      return;
    }
    if (kind === Kind.Announce) this.#answerTo(from, seqno, hash, digest);
  }

  #answerTo(from: number, seqno: number, hash: Uint8Array, digest: Uint8Array): void {
    const known = this.#past.find((failure) => failure.seqno === seqno && same(failure.hash, hash));
    if (known !== undefined) {
      this.#port.send(from, encode(Kind.Failed, known));
    } else if (this.#port.executed() < seqno) {
      // Halted at an earlier operation, it may never get there, and must not hold the others up.
      if (this.#current === undefined) this.#port.send(from, encode(Kind.NotThere, { seqno, hash, digest }));
    } else if (same(this.#port.hashAt(seqno), hash)) {
      this.#port.send(from, encode(Kind.Executed, { seqno, hash, digest }));
    }
  }

  #decide(nowUs: number): void {
    const current = this.#current;
    if (current === undefined) return;
    let alike = 1;
    for (let replica = 0; replica < this.#n; replica++) {
      if (replica === this.#replica) continue;
      const answer = this.#answers[replica] as number;
      const heardUs = answer === -1 ? this.#sinceUs : (this.#heardUs[replica] as number);
      if (answer === Kind.Failed) alike++;
      else if (answer === Kind.Executed || nowUs - heardUs < SilentUs) return;
    }
    if (alike * 2 <= this.#n) return;
    this.#past.push(current);
    if (this.#past.length > RememberedFailures) this.#past.shift();
    // The last to hear of agreement is the one whose announcement was lost: tell all once more.
    this.cancel();
    this.#port.send(-1, encode(Kind.Failed, current));
    this.#port.resume(current.seqno);
  }
}

function encode(answer: number, failure: Failure): Uint8Array {
  const body = new Uint8Array(BodyBytes);
  body[0] = answer;
  writeUint64(body, 1, failure.seqno);
  body.set(failure.hash, 9);
  body.set(failure.digest, 41);
  return body;
}

function same(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}
