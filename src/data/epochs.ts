import { decodeHeartbeat, HeartbeatFlag } from "../control/heartbeat-message.js";
import {
  type Configuration,
  configurationOf,
  countMembers,
  decodeConfiguration,
  decodeNewEpoch,
  encodeConfiguration,
  encodeNewEpoch,
  firstViewOf,
  type Member,
  type NewEpochMessage,
  reconfigurationRecord,
  sameAddress,
} from "../control/membership.js";
import { decodeNewLife } from "../control/new-life.js";
import { tolerated } from "../control/quorums.js";
import type { Snapshot } from "../control/snapshot.js";
import { decodeEpochEnvelope, decodeFetchSnapshot, encodeEpochEnvelope } from "../control/snapshot-messages.js";
import { Guard, MessageType, type NativeAddress, ReplicaStatus } from "./binding.js";
import type { StoredEpoch } from "./durability/stored-state.js";
import type { EpochsOptions } from "./epochs-options.js";
import { Following } from "./following.js";
import { hex } from "./hashing.js";

const Never = Number.POSITIVE_INFINITY;
const NoHash = "0".repeat(64);
/** A request is dropped so long after the operator repeated it last. */
const PendingUs = 10_000_000;
/** No reconciliation for a request more often. */
const RetryUs = 200_000;
/** How often those are told of the epoch that were not heard in it for so long. */
const TellUs = 200_000;
/** A member that does not hear another one asks it so often whether there is a later epoch. */
const AskUs = 200_000;
/** Those that leave are told for so long after enough others have the state. */
const FarewellUs = 10_000_000;

/** Of these, `from` may be an index of another epoch. */
const outsideLife: ReadonlySet<number> = new Set([MessageType.Recovering, MessageType.RecoveryQuery, MessageType.RecoveryAnswer]);

export type RequestAnswer = { state: "pending" | "done"; epoch: number } | { state: "refused"; reason: string; epoch: number };

/** `seqno` and `hash`: the end of the log with which the new life began. */
export type NewLifeAnswer =
  | { state: "pending"; epoch: number }
  | { state: "done"; epoch: number; seqno: number; hash: string }
  | { state: "refused"; reason: string; epoch: number };

interface End {
  seqno: number;
  hash: string;
}

export class Epochs {
  readonly #options: EpochsOptions;
  #epoch = 0;
  #id: number;
  #replicas: NativeAddress[];
  /** How the present epoch came to be; undefined in epoch 0. */
  #configuration: Configuration | undefined;
  #end: End | undefined;
  /** What an operator asks for. */
  #pending: { configuration: Configuration; bytes: Uint8Array; untilUs: number } | undefined;
  #retryUs = 0;
  /** The view's log ends with the end of this epoch. */
  #closing: { configuration: Configuration; seqno: number } | undefined;
  /** Waiting for the state that this epoch began with. */
  #joining = false;
  readonly #following: Following;
  /** When each member was last heard in this epoch; others known to have the state. */
  #heardUs: number[];
  #othersHolding = 0;
  #tellUs = Never;
  #farewellUs = Never;
  #askUs = 0;
  readonly #openedUs: number;

  constructor(options: EpochsOptions) {
    this.#options = options;
    this.#openedUs = options.engine.nowUs();
    this.#id = options.id;
    this.#replicas = options.replicas;
    this.#heardUs = options.replicas.map(() => 0);
    const { engine, data, host } = options;
    this.#following = new Following({
      engine,
      data,
      config: (configuration, replica) => host.controlConfig(configuration, replica),
      arrived: (nowUs, message, snapshot, view) => {
        if (this.#enter(nowUs, message, message.to, true)) host.takeOverFrom(nowUs, snapshot, view);
      },
    });
  }

  get epoch(): number {
    return this.#epoch;
  }
  get id(): number {
    return this.#id;
  }
  /** With what the present epoch began; undefined in epoch 0. */
  get configuration(): Configuration | undefined {
    return this.#configuration;
  }
  get replicas(): readonly NativeAddress[] {
    return this.#replicas;
  }
  get joining(): boolean {
    return this.#joining;
  }
  /** Of the view that closes, or of the request that waits for one. */
  get next(): Configuration | undefined {
    return this.#closing?.configuration ?? this.#pending?.configuration;
  }

  /** What is to be on disk; undefined in epoch 0. */
  get stored(): StoredEpoch | undefined {
    if (!this.#configuration || !this.#end) return undefined;
    return {
      epoch: this.#epoch,
      configuration: hex(encodeConfiguration(this.#configuration)),
      end: this.#end,
      joining: this.#joining,
    };
  }

  /** A replica that starts with what was on disk. False: malformed. */
  resume(nowUs: number, life: Uint8Array, id: number, stored: StoredEpoch): boolean {
    const configuration = decodeConfiguration(Buffer.from(stored.configuration, "hex"));
    if (configuration?.epoch !== stored.epoch || id >= configuration.members.length) return false;
    if (!this.#become(nowUs, life, configuration, stored.end, id)) return false;
    this.#joining = stored.joining;
    this.#tellUs = nowUs;
    this.#options.host.entered(configuration, id, stored.joining);
    if (stored.joining) this.#options.host.takeOver(stored.end.seqno);
    return true;
  }

  /** An operator's RECONFIGURE: life id, then the configuration. */
  request(nowUs: number, body: Uint8Array): RequestAnswer {
    const { engine, data, snapshots, largestBytes } = this.#options;
    const epoch = this.#epoch;
    const refuse = (reason: string): RequestAnswer => ({ state: "refused", reason, epoch });
    const life = engine.lifeId();
    const bytes = body.slice(16);
    const configuration = decodeConfiguration(bytes);
    if (!configuration) return refuse("malformed");
    if (life === undefined || Buffer.compare(life, body.subarray(0, 16)) !== 0) return refuse("other-life");
    if (configuration.epoch <= epoch) {
      const same = this.#configuration !== undefined && Buffer.compare(encodeConfiguration(this.#configuration), bytes) === 0;
      return same ? { state: "done", epoch } : refuse("other-epoch");
    }
    if (configuration.epoch > epoch + 1) return refuse("other-epoch");
    if (data.status === ReplicaStatus.Recovery) return refuse("recovering");
    if (!snapshots) return refuse("no-snapshots");
    if (bytes.length > largestBytes) return refuse("too-large");
    if (configuration.members.some(({ from }) => from !== undefined && from >= this.#replicas.length)) return refuse("malformed");
    const staying = configuration.members.filter(({ from }) => from !== undefined).length;
    if (staying <= tolerated(this.#replicas.length)) return refuse("too-few-stay");
    const wanted = this.#closing ? encodeConfiguration(this.#closing.configuration) : this.#live(nowUs)?.bytes;
    if (wanted && Buffer.compare(wanted, bytes) !== 0) return refuse("another-pending");
    this.#pending = { configuration, bytes, untilUs: nowUs + PendingUs };
    if (!this.#closing && nowUs >= this.#retryUs) {
      this.#retryUs = nowUs + RetryUs;
      this.#options.host.reconcile(nowUs);
    }
    return { state: "pending", epoch };
  }

  /**
   * An operator's NEW-LIFE: more than f have lost their memory, and the group would stand still for ever. Who has `from` begins the new life
   * with all that its log holds: what clients were told may be in its uncommitted part too. Another that has its memory joins. Where nobody has
   * one, it is one whose disk kept a part.
   */
  newLife(nowUs: number, body: Uint8Array): NewLifeAnswer {
    const { engine, data, snapshots, host, bootId } = this.#options;
    const epoch = this.#epoch;
    const refuse = (reason: string): NewLifeAnswer => ({ state: "refused", reason, epoch });
    const own = engine.lifeId();
    const message = decodeNewLife(body);
    if (!message) return refuse("malformed");
    const { configuration, life, end } = message;
    if (own !== undefined && hex(own) === life)
      return this.#joining || !this.#end ? { state: "pending", epoch } : { state: "done", epoch, ...this.#end };
    if (own === undefined || hex(own) !== message.formerLife || configuration.epoch <= epoch) return refuse("other-life");
    if (message.bootId !== bootId || nowUs - this.#openedUs > 1000 * message.untilUptimeMs) return refuse("expired");
    const lost = data.status === ReplicaStatus.Recovery;
    if (lost && (this.#joining || data.committed === 0)) return refuse("recovering");
    if (!snapshots) return refuse("no-snapshots");
    const heard = this.#replicas.length - host.silent().length;
    if (lost ? host.answered() : heard > tolerated(this.#replicas.length)) return refuse("not-lost");
    const joins = configuration.members.findIndex((member) => member.bootId === bootId);
    if (joins >= 0) {
      if (!end) return { state: "pending", epoch };
      if (data.committed > end.seqno) return refuse("ahead");
      this.#join(nowUs, { life, configuration, to: joins, holders: 0, ...end }, joins);
      return { state: "pending", epoch };
    }
    if (!configuration.members.some(({ from }) => from === this.#id)) return refuse("malformed");
    if (data.status === ReplicaStatus.Normal) host.reconcile(nowUs);
    // From now on the log stands still, for the others that it would take to leave this status are gone.
    if ((data.status !== ReplicaStatus.Reconciliation && !lost) || data.executed < data.logEnd) return { state: "pending", epoch };
    data.commitTo(data.logEnd);
    this.#finish(nowUs, Buffer.from(life, "hex"), configuration, data.logEnd);
    return this.#epoch === epoch || !this.#end ? { state: "pending", epoch } : { state: "done", epoch: this.#epoch, ...this.#end };
  }

  /** The entry that a merge is to put last; undefined: none. */
  reconfiguration(nowUs: number): { epoch: number; record: Uint8Array } | undefined {
    const pending = this.#closing ? undefined : this.#live(nowUs);
    const epoch = this.#epoch + 1;
    return pending?.configuration.epoch === epoch ? { epoch, record: reconfigurationRecord(pending.bytes, epoch) } : undefined;
  }

  #live(nowUs: number) {
    if (this.#pending && nowUs >= this.#pending.untilUs) this.#pending = undefined;
    return this.#pending;
  }

  /** A view's log is in place. */
  installed(): void {
    const { data } = this.#options;
    const seqno = data.logEnd;
    const configuration = seqno > data.logBase ? configurationOf(data.record(seqno)) : undefined;
    this.#closing = configuration?.epoch === this.#epoch + 1 ? { configuration, seqno } : undefined;
  }

  /** A control frame came from index `from`: whoever is in a view of this epoch has the state it began with. */
  onFrame(nowUs: number, from: number, type: number, body: Uint8Array): void {
    if (this.#epoch === 0 || from >= this.#heardUs.length || outsideLife.has(type)) return;
    this.#heardUs[from] = nowUs;
    const heartbeat = type === MessageType.Heartbeat ? decodeHeartbeat(body) : undefined;
    if (heartbeat && (heartbeat.flags & HeartbeatFlag.Normal) !== 0) this.#othersHolding |= 1 << from;
  }

  /** Called often, outside of the control plane's work: what is due happens here. */
  step(nowUs: number): void {
    const closing = this.#closing;
    const { data } = this.#options;
    if (closing && data.committed >= closing.seqno && data.executed >= closing.seqno)
      this.#finish(nowUs, this.#options.engine.lifeId() as Uint8Array, closing.configuration, closing.seqno);
    if (nowUs >= this.#tellUs) this.#tell(nowUs);
    if (nowUs >= this.#askUs) this.#ask(nowUs);
    this.#following.onTimer(nowUs);
  }

  get deadlineUs(): number {
    return Math.min(this.#tellUs, this.#askUs, this.#following.deadlineUs);
  }

  /** A snapshot was verified, here or for another. */
  onVerified(nowUs: number, snapshot: Snapshot, valid: boolean): void {
    this.#following.onVerified(nowUs, snapshot, valid);
  }

  /** FETCH-EPOCH-STATE from a member that is not in this epoch yet, EPOCH-STATE to one. False: malformed. */
  onStateFrame(nowUs: number, type: number, body: Uint8Array): boolean {
    if (type === MessageType.EpochState) return this.#following.onEpochState(nowUs, body);
    const envelope = decodeEpochEnvelope(body);
    const message = envelope && decodeFetchSnapshot(envelope.body);
    if (!envelope || !message) return false;
    const { engine, host } = this.#options;
    const life = engine.lifeId();
    const address = this.#replicas[envelope.replica];
    if (!life || envelope.life !== hex(life) || envelope.epoch !== this.#epoch || !address || this.#joining) return true;
    const chunk = host.chunkFor(nowUs, envelope.replica, message);
    if (!chunk) return true;
    const { life: same, epoch } = envelope;
    engine.sendToAddress({ to: address }, MessageType.EpochState, encodeEpochEnvelope({ life: same, epoch, replica: this.#id }, chunk));
    return true;
  }

  /** NEW-EPOCH from `from`, an index in the epoch that it tells of. False: malformed. */
  onNewEpoch(nowUs: number, from: number, body: Uint8Array): boolean {
    const message = decodeNewEpoch(body);
    if (!message) return false;
    const { engine, data } = this.#options;
    const life = engine.lifeId();
    const { configuration, to } = message;
    // Without memory a process may have been told of a life that is over.
    const blank = data.status === ReplicaStatus.Recovery && !this.#joining;
    if (life !== undefined && hex(life) !== message.life && !blank) return true;
    if (configuration.epoch < this.#epoch) this.#answer(from, configuration);
    if (configuration.epoch <= this.#epoch) return true;
    if (blank) this.#adopt(nowUs, message);
    else if (to < 0) this.#leave(message);
    else this.#follow(nowUs, from, message);
    return true;
  }

  /** This process lives in no view: it is one that joins, or it has lost its memory and recovers in the later epoch. */
  #adopt(nowUs: number, message: NewEpochMessage): void {
    const { configuration, to } = message;
    const { bootId, engine, data } = this.#options;
    const index = configuration.members.findIndex((member) => member.bootId === bootId);
    const life = engine.lifeId();
    // What the disk kept of a life that is over need not be a part of this one. One that joins gets this one's state in its place.
    if (life !== undefined && hex(life) !== message.life && data.logEnd > 0 && (index < 0 || data.committed > message.seqno)) {
      data.fail("the data directory is of a life that is over; empty it and start the replica again, and it recovers in the present one");
      return;
    }
    if (index >= 0) this.#join(nowUs, message, index);
    else if (to >= 0) this.#enter(nowUs, message, to, false);
  }

  #leave({ configuration, holders }: NewEpochMessage): void {
    const n = configuration.members.length;
    if (countMembers(holders) > tolerated(n) || !this.#guard(Guard.OldMembersServe)) this.#options.host.retired();
  }

  /**
   * Others have gone on. With the end of the epoch in the own log it is committed. Else this replica goes once it has the state, or once so
   * many have it that nobody can need this one where it is.
   */
  #follow(nowUs: number, from: number, message: NewEpochMessage): void {
    const { data, engine } = this.#options;
    const { configuration, seqno, hash, to, holders } = message;
    const next = configuration.epoch === this.#epoch + 1;
    if (next && !this.#joining && data.logEnd === seqno && seqno >= data.logBase && hex(engine.hashAt(seqno)) === hash) {
      data.commitTo(seqno);
      this.#closing ??= { configuration, seqno };
      this.step(nowUs);
      return;
    }
    const enough = countMembers(holders) > tolerated(configuration.members.length);
    if (enough || !this.#guard(Guard.JoinWithState)) this.#join(nowUs, message, to);
    else this.#following.begin(nowUs, from, message);
  }

  #join(nowUs: number, message: NewEpochMessage, replica: number): void {
    if (!this.#enter(nowUs, message, replica, true)) return;
    this.#options.host.takeOver(this.#guard(Guard.JoinWithState) ? message.seqno : 0);
  }

  #guard(guard: number): boolean {
    return (this.#options.guardsOff & guard) === 0;
  }

  #enter(nowUs: number, message: NewEpochMessage, replica: number, joins: boolean): boolean {
    const { configuration, seqno, hash } = message;
    if (!this.#become(nowUs, Buffer.from(message.life, "hex"), configuration, { seqno, hash }, replica)) return false;
    this.#joining = joins;
    this.#options.host.entered(configuration, replica, joins);
    return true;
  }

  /**
   * The state that the epoch began with, or a later one, is in place. False: its first view is past, what is committed since may be part of
   * that state, and a START-VIEW of an earlier view than the one that it comes from must not be installed.
   */
  takenOver(nowUs: number, view: number): boolean {
    if (!this.#joining || !this.#configuration) return true;
    const { engine, data, firstMode } = this.#options;
    const first = firstViewOf(this.#configuration);
    if (!engine.beginEpoch(first, firstMode)) {
      data.fail(`epoch ${this.#epoch} could not begin with the state at ${data.committed}`);
      return true;
    }
    data.durability?.replaced(data.logEnd);
    this.#joining = false;
    this.#tellUs = nowUs;
    return view <= first;
  }

  /** The epoch has ended here, and all of it is executed. */
  #finish(nowUs: number, life: Uint8Array, configuration: Configuration, seqno: number): void {
    const { engine, data, host, firstMode } = this.#options;
    const replica = configuration.members.findIndex(({ from }) => from === this.#id);
    if (replica < 0) return; // until enough others have the state
    const end = { seqno, hash: hex(engine.hashAt(seqno)) };
    if (!this.#become(nowUs, life, configuration, end, replica)) return;
    if (!engine.beginEpoch(firstViewOf(configuration), firstMode)) {
      data.fail(`epoch ${configuration.epoch} could not begin`);
      return;
    }
    data.durability?.replaced(data.logEnd);
    this.#tellUs = nowUs;
    host.entered(configuration, replica, false);
  }

  /** The former epoch's peers are others from now on. */
  #become(nowUs: number, life: Uint8Array, configuration: Configuration, end: End, replica: number): boolean {
    const { epoch, members } = configuration;
    const replicas = members.map(({ address }) => address);
    const { data, engine } = this.#options;
    if (!engine.reconfigure({ life, epoch, replica, replicas })) return false;
    data.durability?.entered();
    this.#epoch = epoch;
    this.#id = replica;
    this.#replicas = replicas;
    this.#configuration = configuration;
    this.#end = end;
    this.#pending = undefined;
    this.#closing = undefined;
    this.#following.stop();
    this.#heardUs = members.map(() => Number.NEGATIVE_INFINITY);
    this.#othersHolding = 0;
    this.#farewellUs = Never;
    this.#tellUs = Never;
    this.#retryUs = nowUs;
    return true;
  }

  #tell(nowUs: number): void {
    this.#tellUs = nowUs + TellUs;
    const configuration = this.#configuration;
    if (!configuration) return;
    configuration.members.forEach(({ address }, to) => {
      if (to !== this.#id && nowUs - (this.#heardUs[to] as number) >= TellUs) this.#send(address, to);
    });
    const enough = countMembers(this.#holders) > tolerated(configuration.members.length);
    if (enough && this.#farewellUs === Never) this.#farewellUs = nowUs + FarewellUs;
    if (nowUs < this.#farewellUs) for (const address of configuration.leaving) this.#send(address, -1);
  }

  /** Members known to have the state that the epoch began with; this one is one of them once it would have it after a loss of power too. */
  get #holders(): number {
    const { data } = this.#options;
    const holds = !this.#joining && data.status !== ReplicaStatus.Recovery && data.viewDurable;
    return this.#othersHolding | (holds ? 1 << this.#id : 0);
  }

  /** Members that are not heard may be in a later epoch, of which nobody told this replica in time: its own epoch makes them do so. */
  #ask(nowUs: number): void {
    this.#askUs = nowUs + AskUs;
    if (this.#options.data.status === ReplicaStatus.Recovery) return;
    for (const silent of this.#options.host.silent()) {
      const address = this.#replicas[silent];
      if (address) this.#send(address, silent);
    }
  }

  /** `from`, an index of that earlier configuration, is behind. */
  #answer(from: number, { members }: Configuration): void {
    const address = members[from]?.address;
    if (!address || this.#joining || this.#options.data.status === ReplicaStatus.Recovery) return;
    this.#send(
      address,
      this.#replicas.findIndex((one) => sameAddress(one, address)),
    );
  }

  #send(address: NativeAddress, to: number): void {
    const { engine } = this.#options;
    const life = engine.lifeId();
    if (!life) return;
    const message = { life: hex(life), ...this.#begun, holders: this.#holders, to };
    engine.sendToAddress({ to: address }, MessageType.NewEpoch, encodeNewEpoch(message));
  }

  /** How the present epoch began; the first one with nothing. */
  get #begun(): { configuration: Configuration } & End {
    if (this.#configuration && this.#end) return { configuration: this.#configuration, ...this.#end };
    const members = this.#replicas.map((address, from): Member => ({ address, from }));
    return { configuration: { epoch: 0, members, leaving: [] }, seqno: 0, hash: NoHash };
  }
}
