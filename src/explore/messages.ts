/** Every message that was ever sent, once. The network is the set of them: any may arrive at any time, any number of times, or never. */
import { MessageType, ReplicaStatus } from "../data/binding.js";
import { clientId, type ReplicaState } from "./replica.js";

export interface Message {
  /** A replica, or the client's id. */
  readonly from: number;
  readonly to: number;
  readonly type: number;
  readonly body: Uint8Array;
}

interface KnownMessage extends Message {
  /** The first two words of the body: of most a view and a seqno. */
  readonly view: number;
  readonly seqno: number;
}

const names = new Map<number, string>(Object.entries(MessageType).map(([name, type]) => [type, name]));

/** Types whose first word is a view, which mean nothing to a replica that has gone on to a later one ... */
const ofOneView = new Set<number>([
  MessageType.Sync,
  MessageType.SyncReply,
  MessageType.Reconcile,
  MessageType.StartView,
  MessageType.InView,
  MessageType.FetchReply,
  MessageType.Prepare,
  MessageType.PrepareOk,
]);
/** ... or, of these, has entered it ... */
const untilEntered = new Set<number>([MessageType.Reconcile, MessageType.StartView, MessageType.FetchReply]);
/** ... or, of these, has committed what they name. */
const untilCommitted = new Set<number>([MessageType.SyncReply, MessageType.InView]);
/** Calls for views, which nobody who is in the last one has an answer to but once. */
const calls = new Set<number>([MessageType.StartReconciliation, MessageType.StartViewRequest]);

export class Messages {
  private readonly messages: KnownMessage[] = [];
  private readonly known = new Map<string, number>();

  /** `simple`: a view is merged and installed once. */
  constructor(
    private readonly lastView: number,
    private readonly simple: boolean,
  ) {}

  /** All that were sent, by their content. */
  get all(): string[] {
    return [...this.known.keys()].sort();
  }

  message(id: number): Message {
    return this.messages[id]!;
  }

  id(message: Message): number {
    const { from, to, type, body } = message;
    const key = `${from} ${to} ${type} ${Buffer.from(body.buffer, body.byteOffset, body.byteLength).toString("latin1")}`;
    let id = this.known.get(key);
    if (id === undefined) {
      id = this.messages.length;
      this.known.set(key, id);
      this.messages.push({ from, to, type, body: new Uint8Array(body), view: word(body, 0), seqno: word(body, 8) });
    }
    return id;
  }

  /**
   * Whether a replica in this state, which has sent all that it can, may still be changed by the message or answer it, now or later. `lasting`: nobody loses memory any more, and comes back
   * to a view that it was past.
   */
  matters(id: number, { view, committed, end, status, asking }: ReplicaState, lasting: boolean): boolean {
    const { type, body, view: ofView, seqno } = this.messages[id]!;
    // Each process asks by a name of its own, which the answer repeats first.
    if (type === MessageType.RecoveryAnswer) return body[0] === asking;
    if (!lasting || status === ReplicaStatus.Recovery) return true;
    if (type === MessageType.Commit) return seqno > committed;
    const normal = status === ReplicaStatus.Normal;
    if (calls.has(type)) return !(normal && view === this.lastView && this.simple);
    if (!ofOneView.has(type)) return true;
    if (ofView !== view || !normal || !this.simple) return ofView >= view;
    if (untilCommitted.has(type)) return seqno > committed;
    return !untilEntered.has(type) && (type !== MessageType.Sync || seqno > end);
  }

  /** For people. */
  describe(id: number): string {
    const { from, to, type, body, view, seqno } = this.messages[id]!;
    const name = names.get(type) ?? `type ${type}`;
    if (from === clientId) return `${name} ${word(body, 16)} of the client reaches replica ${to}`;
    const fields = [];
    if (body.length >= 8 && type !== MessageType.RecoveryQuery && type !== MessageType.RecoveryAnswer) fields.push(`view ${view}`);
    if (type === MessageType.Sync || type === MessageType.SyncReply || type === MessageType.Commit || type === MessageType.InView)
      fields.push(`seqno ${seqno}`);
    return `${name}${fields.length > 0 ? ` (${fields.join(", ")})` : ""} of replica ${from} reaches replica ${to}`;
  }
}

/** Little-endian, below 2^53; 0 where there is none. */
function word(body: Uint8Array, at: number): number {
  if (body.length < at + 8) return 0;
  const view = new DataView(body.buffer, body.byteOffset, body.byteLength);
  return view.getUint32(at, true) + view.getUint32(at + 4, true) * 2 ** 32;
}
