/**
 * Checkpoints of this replica: their digests compared with those of the others, the newest handed out in chunks, the log below the last
 * but one forgotten once nobody who catches up needs it.
 */
import { ReplicaStatus } from "../data/binding.js";
import { type Context, equalBytes } from "./context.js";
import type { HeartbeatMessage } from "./heartbeat-message.js";
import { HashBytes } from "./messages.js";
import { messageRoom } from "./send-room.js";
import { PositionBytes, type Snapshot } from "./snapshot.js";
import { encodeSnapshotChunk, type FetchSnapshotMessage } from "./snapshot-messages.js";

const Never = Number.POSITIVE_INFINITY;
/** What a replica that catches up needs is kept for so long after its last request. */
const LeaseUs = 1_000_000;
// Replicas reach a checkpoint at different times: so many digests are remembered of each.
const RememberedDigests = 4;
// A log fuller than this is truncated whoever needs it.
const FullestLog = 7 / 8;

export interface CheckpointHost {
  fail(message: string): void;
}

interface Digest {
  seqno: number;
  digest: Uint8Array;
}

interface Lease {
  /** Entries above it are needed, and the snapshot at it, if there is one. */
  seqno: number;
  untilUs: number;
}

export class Checkpoints {
  private readonly context: Context;
  private readonly host: CheckpointHost;
  /** Digests by replica, newest last. */
  private readonly digests: Digest[][];
  private readonly leases: Lease[];
  private newestTaken: Snapshot | undefined;
  /** An older one, kept while it is being fetched. */
  private previous: Snapshot | undefined;
  /** The log is to be truncated up to here. */
  private truncateTo = 0;
  private warnedSeqno = 0;

  constructor(context: Context, host: CheckpointHost) {
    this.context = context;
    this.host = host;
    this.digests = Array.from({ length: context.n }, () => []);
    this.leases = Array.from({ length: context.n }, () => ({ seqno: 0, untilUs: Number.NEGATIVE_INFINITY }));
  }

  /** The newest; seqno and digest go into HEARTBEATs. */
  get newest(): Snapshot | undefined {
    return this.newestTaken;
  }

  /** A checkpoint was taken here. */
  taken(nowUs: number, snapshot: Snapshot): void {
    if (this.newestTaken && snapshot.seqno <= this.newestTaken.seqno) return;
    this.truncateTo = this.newestTaken?.seqno ?? 0;
    // What somebody is half way through stays; else a transfer longer than a checkpoint's period would never end.
    if (!this.previous || this.needed(nowUs) > this.previous.seqno) this.previous = this.newestTaken;
    this.newestTaken = snapshot;
    this.note(this.context.replica, snapshot);
    this.settle(nowUs);
  }

  /** The replica's state was replaced by this snapshot. */
  adopted(snapshot: Snapshot): void {
    this.previous = undefined;
    this.newestTaken = snapshot;
    this.truncateTo = 0;
    this.note(this.context.replica, snapshot);
  }

  onHeartbeat(from: number, message: HeartbeatMessage): void {
    if (message.checkpoint > 0) this.note(from, { seqno: message.checkpoint, digest: message.digest });
  }

  /** The body (in messageRoom) of the SNAPSHOT-CHUNK that answers `from`, a member; undefined: it asks for what lies behind the end. */
  chunkFor(nowUs: number, from: number, message: FetchSnapshotMessage): Uint8Array | undefined {
    const asked = message.seqno !== 0 && message.seqno === this.previous?.seqno ? this.previous : this.newestTaken;
    const { view } = this.context.data;
    if (!asked) return encodeSnapshotChunk({ ...nothing, view });
    this.lease(nowUs, from, asked.seqno);
    // Of another snapshot than the one that was asked for the start is sent: it tells what there is.
    const offset = message.seqno === 0 || message.seqno === asked.seqno ? message.offset : 0;
    const { seqno, position, digest, machine, sessions } = asked;
    const total = machine.length + sessions.length;
    if (offset > total) return undefined;
    const length = Math.min(message.length, this.context.messageBytes, total - offset);
    const bytes = slice(machine, sessions, offset, length);
    const [machineBytes, sessionBytes] = [machine.length, sessions.length];
    return encodeSnapshotChunk({ view, seqno, position, digest, machineBytes, sessionBytes, offset, bytes }, messageRoom);
  }

  /** `from` is catching up and needs the entries above `seqno`. */
  lease(nowUs: number, from: number, seqno: number): void {
    const lease = this.leases[from] as Lease;
    lease.seqno = lease.untilUs > nowUs ? Math.min(lease.seqno, seqno) : seqno;
    lease.untilUs = nowUs + LeaseUs;
  }

  onTimer(nowUs: number): void {
    if (nowUs >= this.deadlineUs) this.settle(nowUs);
  }

  /** Only while a lease holds something back. */
  get deadlineUs(): number {
    if (!this.previous && this.truncateTo <= this.context.data.logBase) return Never;
    let due = Never;
    for (const { untilUs } of this.leases) if (untilUs > Number.NEGATIVE_INFINITY) due = Math.min(due, untilUs);
    return due;
  }

  /** Forgets what is no longer needed. A log that stands still for a reconciliation stays as it was told to the others. */
  settle(nowUs: number): void {
    const { data } = this.context;
    const needed = this.needed(nowUs);
    if (this.previous && needed > this.previous.seqno) this.previous = undefined;
    if (data.status === ReplicaStatus.Reconciliation || this.truncateTo <= data.logBase) return;
    const seqno = data.logFill > FullestLog ? this.truncateTo : Math.min(this.truncateTo, needed);
    if (seqno <= data.logBase) return;
    data.truncate(seqno);
    // A snapshot without the entries that follow it helps nobody.
    if (this.previous && this.previous.seqno < seqno) this.previous = undefined;
  }

  /** The lowest seqno that a lease names. */
  private needed(nowUs: number): number {
    let needed = Never;
    for (const lease of this.leases) {
      if (lease.untilUs > nowUs) needed = Math.min(needed, lease.seqno);
      else lease.untilUs = Number.NEGATIVE_INFINITY;
    }
    return needed;
  }

  private note(replica: number, { seqno, digest }: Digest): void {
    const known = this.digests[replica] as Digest[];
    if ((known.at(-1)?.seqno ?? 0) >= seqno) return;
    known.push({ seqno, digest });
    if (known.length > RememberedDigests) known.shift();
    this.compare(seqno);
  }

  /** f+1 others of one mind are right, for one of them at least is. */
  private compare(seqno: number): void {
    const at = (replica: number): Uint8Array | undefined => this.digests[replica]?.find((one) => one.seqno === seqno)?.digest;
    const { replica: self, f, n } = this.context;
    const own = at(self);
    if (!own) return;
    const others = new Map<string, number[]>();
    for (let replica = 0; replica < n; replica++) {
      const digest = at(replica);
      if (!digest || equalBytes(digest, own)) continue;
      const key = Buffer.from(digest).toString("hex");
      others.set(key, [...(others.get(key) ?? []), replica]);
    }
    for (const replicas of others.values()) {
      if (replicas.length > f) {
        const message = `the state at checkpoint ${seqno} differs from that of replicas ${replicas.join(" and ")}`;
        this.context.data.event({ type: "diverged", seqno, message });
        this.host.fail(message);
        return;
      }
    }
    if (others.size === 0 || seqno <= this.warnedSeqno) return;
    this.warnedSeqno = seqno;
    const replicas = [...others.values()].flat().sort((a, b) => a - b);
    this.context.data.event({ type: "state-differs", seqno, peers: replicas });
  }
}

const nothing = {
  seqno: 0,
  position: new Uint8Array(PositionBytes),
  digest: new Uint8Array(HashBytes),
  machineBytes: 0,
  sessionBytes: 0,
  offset: 0,
  bytes: new Uint8Array(0),
};

/** `length` bytes at `offset` of `a` followed by `b`. */
function slice(a: Uint8Array, b: Uint8Array, offset: number, length: number): Uint8Array {
  const end = offset + length;
  if (end <= a.length) return a.subarray(offset, end);
  if (offset >= a.length) return b.subarray(offset - a.length, end - a.length);
  return Buffer.concat([a.subarray(offset), b.subarray(0, end - a.length)]);
}
