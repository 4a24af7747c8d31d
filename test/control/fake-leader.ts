/** The normal case of a LEADER view between fake data planes: PREPARE, PREPARE-OK, and what was missed sent again. */
import { deserialize, serialize } from "node:v8";
import { MessageType, Mode, PrepareStats, ReplicaStatus } from "../../src/data/binding.js";
import { type FakeDataPlane, hex, operationOf } from "./fake-data-plane.js";

interface Prepare {
  view: number;
  committed: number;
  first: number;
  records: Uint8Array[];
}

interface PrepareOk {
  view: number;
  end: number;
  hash: string;
  gap: boolean;
  compared: number;
  inverted: number;
  absent: number;
}

interface Backup extends PrepareOk {
  heardUs: number;
}

const MostEntries = 64;

/** A view of 8 bytes goes first, as control planes read it. */
function encode(view: number, body: unknown): Uint8Array {
  const head = Buffer.alloc(8);
  head.writeUInt32LE(view);
  return Buffer.concat([head, serialize(body)]);
}

export class FakeLeader {
  readonly #data: FakeDataPlane;
  readonly #replica: number;
  readonly #n: number;
  #backups = new Map<number, Backup>();
  #arrivals = new Map<string, number>();
  #counters = { compared: 0, inverted: 0, absent: 0, last: 0, arrivals: 0 };

  constructor(data: FakeDataPlane, replica: number, n: number) {
    this.#data = data;
    this.#replica = replica;
    this.#n = n;
  }

  get leads(): boolean {
    return this.#data.view % this.#n === this.#replica;
  }

  reset(): void {
    this.#backups.clear();
    this.#arrivals.clear();
    this.#counters = { compared: 0, inverted: 0, absent: 0, last: 0, arrivals: 0 };
  }

  /** The leader appended `count` entries. */
  prepare(count: number): void {
    const end = this.#data.logEnd;
    this.#send(-1, end - count + 1, end);
    this.#commit();
  }

  prepareAgain(to: number): void {
    if (this.#data.status === ReplicaStatus.Normal && this.leads) this.#send(to, this.#data.logEnd + 1, this.#data.logEnd);
  }

  arrived(record: Uint8Array): void {
    this.#arrivals.set(operationOf(record), ++this.#counters.arrivals);
  }

  stats(): number[] {
    const stats = new Array<number>(this.#n * PrepareStats.Columns).fill(0);
    for (const [replica, backup] of this.#backups) {
      const at = replica * PrepareStats.Columns;
      stats[at + PrepareStats.Acked] = backup.end;
      stats[at + PrepareStats.Compared] = backup.compared;
      stats[at + PrepareStats.Inverted] = backup.inverted;
      stats[at + PrepareStats.Absent] = backup.absent;
    }
    stats[this.#replica * PrepareStats.Columns] = this.#data.logEnd;
    return stats;
  }

  /** False: for the control plane. */
  onFrame(from: number, type: number, body: Uint8Array): boolean {
    if (this.#data.status === ReplicaStatus.Recovery) return true;
    const message: unknown = deserialize(body.subarray(8));
    return type === MessageType.Prepare ? this.#onPrepare(from, message as Prepare) : this.#onPrepareOk(from, message as PrepareOk);
  }

  #onPrepare(from: number, message: Prepare): boolean {
    const data = this.#data;
    const normal = data.status === ReplicaStatus.Normal;
    if (message.view > data.view || (message.view === data.view && !normal)) return false;
    if (message.view < data.view || data.mode !== Mode.Leader || from !== data.view % this.#n) return true;
    const gap = message.first > data.logEnd + 1;
    if (!gap) {
      for (const record of message.records.slice(data.logEnd + 1 - message.first)) {
        this.#compare(record);
        data.push(Uint8Array.from(record));
      }
    }
    data.commitTo(Math.min(message.committed, data.logEnd));
    const { compared, inverted, absent } = this.#counters;
    const ok: PrepareOk = { view: data.view, end: data.logEnd, hash: hex(data.hashAt(data.logEnd)), gap, compared, inverted, absent };
    data.send(from, MessageType.PrepareOk, encode(data.view, ok));
    return true;
  }

  #compare(record: Uint8Array): void {
    const arrival = this.#arrivals.get(operationOf(record));
    if (arrival === undefined) {
      this.#counters.absent++;
      return;
    }
    this.#counters.compared++;
    if (arrival < this.#counters.last) this.#counters.inverted++;
    this.#counters.last = arrival;
  }

  #onPrepareOk(from: number, message: PrepareOk): boolean {
    const data = this.#data;
    if (message.view !== data.view || data.mode !== Mode.Leader || data.status !== ReplicaStatus.Normal || !this.leads) return true;
    if (message.end > data.logEnd || (message.end >= data.logBase && hex(data.hashAt(message.end)) !== message.hash)) return false;
    const before = this.#backups.get(from);
    if (before && message.end < before.end) return true;
    this.#backups.set(from, { ...message, heardUs: 0 });
    this.#commit();
    const behind = before !== undefined && message.end > before.end && before.gap && message.end < data.logEnd;
    if (message.gap || behind) {
      this.#backups.set(from, { ...message, gap: true, heardUs: 0 });
      if (message.end >= data.logBase) this.#send(from, message.end + 1, Math.min(data.logEnd, message.end + MostEntries));
    }
    return true;
  }

  #commit(): void {
    const data = this.#data;
    const ends = [data.logEnd, ...[...this.#backups.values()].map((backup) => backup.end)].sort((a, b) => b - a);
    const seqno = ends[Math.floor((this.#n - 1) / 2)];
    if (seqno !== undefined && seqno > data.committed) data.commitTo(seqno);
  }

  #send(to: number, first: number, last: number): void {
    const data = this.#data;
    const records: Uint8Array[] = [];
    for (let seqno = first; seqno <= last; seqno++) records.push(data.record(seqno));
    const message: Prepare = { view: data.view, committed: data.committed, first, records };
    data.send(to, MessageType.Prepare, encode(data.view, message));
  }
}
