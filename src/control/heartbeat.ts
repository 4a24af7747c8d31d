/**
 * Who is alive: every replica sends HEARTBEATs, and any frame counts as a sign of life. A replica is silent once nothing came for the
 * detection time and what it last said its own timers are late. One whose machine failed alone is alive, and answers nobody: it is halted
 * once its HEARTBEATs have said so for the detection time, within which replicas agree where an operation is at fault.
 */
import { MessageType, ReplicaStatus } from "../data/binding.js";
import { OldestWireVersion } from "../data/wire-version.js";
import { type Context, equalBytes } from "./context.js";
import { encodeHeartbeat, HeartbeatFlag, type HeartbeatMessage } from "./heartbeat-message.js";
import { HashBytes } from "./messages.js";

const Never = Number.POSITIVE_INFINITY;
// A replica that claims to be very late is waited for only so many detection times longer.
const LongestDelayDetections = 4;
// The delay that is reported falls by this factor with each heartbeat: a process that was late will be late again.
const DelayDecay = 0.8;

const RememberedBoots = 8;

const noDigest = new Uint8Array(HashBytes);

export interface HeartbeatHost {
  /** `replica`, heard until now, fell silent. */
  silent(nowUs: number, replica: number): void;
  /** `replica`, heard, executes nothing any more. */
  halted(nowUs: number, replica: number): void;
  /** Seqno and digest of the own last checkpoint. */
  checkpoint(): { seqno: number; digest: Uint8Array } | undefined;
}

interface Peer {
  heardUs: number;
  loopDelayUs: number;
  silent: boolean;
  /** It lost its memory and has not been seen in a view since. */
  recovering: boolean;
  /** Since when its heartbeats say that it hears no majority. */
  unfitUs: number;
  /** Since when they say that its machine has failed. */
  failedUs: number;
  /** It was found to stay so. */
  halted: boolean;
  /** Of its last HEARTBEAT. */
  incarnation: number;
  /** Processes that asked how to recover, newest last. */
  bootIds: Uint8Array[];
  last: HeartbeatMessage | undefined;
}

export class Heartbeats {
  private readonly context: Context;
  private readonly host: HeartbeatHost;
  private readonly peers: Peer[];
  private sendUs = Never;
  private delayUs = 0;
  /** Of the frames to the others. */
  version = OldestWireVersion;

  constructor(context: Context, host: HeartbeatHost) {
    this.context = context;
    this.host = host;
    this.peers = Array.from({ length: context.n }, () => ({
      heardUs: 0,
      loopDelayUs: 0,
      silent: false,
      recovering: false,
      unfitUs: Never,
      failedUs: Never,
      halted: false,
      incarnation: 1,
      bootIds: [],
      last: undefined,
    }));
  }

  /** The replica takes part from now on; nobody has been silent before. */
  start(nowUs: number): void {
    if (this.sendUs !== Never || this.context.n === 1) return;
    this.sendUs = nowUs;
    // The members of this epoch may be others than those it was agreed on with.
    this.context.data.speak(this.version);
    for (const peer of this.peers) peer.heardUs = nowUs;
  }

  heard(nowUs: number, from: number): void {
    const peer = this.peers[from] as Peer;
    peer.heardUs = nowUs;
    if (!peer.recovering) peer.silent = false;
  }

  /** A process that has lost its memory asks how to recover. One that asked before and has recovered since is not meant. */
  onQuery(nowUs: number, replica: number, bootId: Uint8Array): void {
    const { bootIds, recovering } = this.peers[replica] as Peer;
    const known = bootIds.some((one) => equalBytes(one, bootId));
    if (!known) bootIds.push(bootId);
    if (bootIds.length > RememberedBoots) bootIds.shift();
    if (!known && !recovering) this.lost(nowUs, replica);
  }

  /** A replica that recovers with this incarnation asks for a reconciliation. */
  onTrigger(nowUs: number, replica: number, incarnation: number): void {
    const { recovering, incarnation: seen } = this.peers[replica] as Peer;
    if (!recovering && incarnation > seen) this.lost(nowUs, replica);
  }

  /** It takes no part until it sends HEARTBEATs again. */
  private lost(nowUs: number, replica: number): void {
    const peer = this.peers[replica] as Peer;
    peer.recovering = true;
    peer.last = undefined;
    if (!peer.silent) this.fellSilent(nowUs, replica, peer);
    peer.failedUs = Never;
    peer.halted = false;
  }

  onHeartbeat(nowUs: number, from: number, message: HeartbeatMessage): void {
    const peer = this.peers[from] as Peer;
    // One from before the crash proves nothing.
    if (peer.recovering && message.incarnation <= peer.incarnation) return;
    if (peer.recovering) peer.silent = false;
    peer.recovering = false;
    peer.incarnation = message.incarnation;
    peer.last = message;
    this.agreeOnVersion();
    peer.loopDelayUs = Math.min(message.loopDelayMs * 1000, LongestDelayDetections * this.context.detectUs);
    const fit = (message.flags & HeartbeatFlag.Majority) !== 0;
    if (fit) peer.unfitUs = Never;
    else if (peer.unfitUs === Never) peer.unfitUs = nowUs;
    if ((message.flags & HeartbeatFlag.Halted) === 0) {
      peer.failedUs = Never;
      peer.halted = false;
    } else if (peer.failedUs === Never) {
      peer.failedUs = nowUs;
    }
  }

  /** The last HEARTBEAT of a replica. */
  lastOf(replica: number): HeartbeatMessage | undefined {
    return this.peers[replica]?.last;
  }

  /** Whether `replica` is alive and said that it is NORMAL in `view`. */
  isNormalIn(replica: number, view: number): boolean {
    const { silent, last } = this.peers[replica] as Peer;
    return !silent && last?.view === view && (last.flags & HeartbeatFlag.Normal) !== 0;
  }

  /** Whether `replica` is alive and executes. */
  isAble(replica: number): boolean {
    const { silent, halted } = this.peers[replica] as Peer;
    return !silent && !halted;
  }

  /** Whether the machine of `replica` has failed, by its last HEARTBEAT: perhaps for a moment only. */
  hasFailed(replica: number): boolean {
    return replica === this.context.replica ? this.context.data.halted : (this.peers[replica] as Peer).failedUs !== Never;
  }

  isHalted(replica: number): boolean {
    return (this.peers[replica] as Peer).halted;
  }

  isSilent(replica: number): boolean {
    return (this.peers[replica] as Peer).silent;
  }

  get silent(): number[] {
    return [...this.peers.keys()].filter((replica) => this.isSilent(replica));
  }

  /** Replicas that are not silent, this one included. */
  get alive(): number {
    return this.peers.filter((peer) => !peer.silent).length;
  }

  /** Of these, those that execute. */
  get able(): number {
    return [...this.peers.keys()].filter((replica) => this.isAble(replica)).length;
  }

  /**
   * When `replica` is lost as the leader of a view entered at `enteredUs`: silent, halted, or, where only a majority can commit, without one.
   * It is given that long in each view anew.
   */
  lostUs(replica: number, enteredUs: number, needsMajority: boolean): number {
    const peer = this.peers[replica] as Peer;
    if (peer.recovering) return enteredUs;
    const haltedUs = peer.halted ? Math.max(peer.failedUs, enteredUs) + this.context.detectUs : Never;
    const silentUs = Math.min(haltedUs, Math.max(peer.heardUs, enteredUs) + this.patienceUs(peer));
    // What it says of itself took it a detection time to find out; a process that stood still hears the others within a few heartbeats.
    return needsMajority ? Math.min(silentUs, Math.max(peer.unfitUs, enteredUs) + this.context.detectUs / 2) : silentUs;
  }

  onTimer(nowUs: number): void {
    this.peers.forEach((peer, replica) => {
      if (replica === this.context.replica || peer.silent || nowUs < peer.heardUs + this.patienceUs(peer)) return;
      this.fellSilent(nowUs, replica, peer);
    });
    this.judgeHalted(nowUs);
    if (nowUs >= this.sendUs) this.send(nowUs);
  }

  get deadlineUs(): number {
    if (this.sendUs === Never) return Never;
    let due = this.sendUs;
    this.peers.forEach((peer, replica) => {
      if (replica === this.context.replica || peer.silent) return;
      due = Math.min(due, peer.heardUs + this.patienceUs(peer));
    });
    return due;
  }

  /** Time that passed while this process stood still counts for nobody. */
  forgive(lateUs: number): void {
    for (const peer of this.peers) {
      peer.heardUs += lateUs;
      peer.unfitUs += lateUs;
      peer.failedUs += lateUs;
    }
  }

  private fellSilent(nowUs: number, replica: number, peer: Peer): void {
    peer.silent = true;
    // One that was halted is missed already.
    if (!peer.halted) this.host.silent(nowUs, replica);
  }

  /**
   * A majority that goes on shows that the others failed alone. Where none does, or this machine has failed too, the operation may be at
   * fault, and those who have not come to it yet will fail as well.
   */
  private judgeHalted(nowUs: number): void {
    const { replica: self, data, detectUs, f } = this.context;
    if (data.halted) return;
    const failed = [...this.peers.keys()].filter((replica) => replica !== self && this.isAble(replica) && this.hasFailed(replica));
    if (this.able - failed.length <= f) return;
    for (const replica of failed) {
      const peer = this.peers[replica] as Peer;
      if (nowUs < peer.failedUs + detectUs) continue;
      peer.halted = true;
      this.host.halted(nowUs, replica);
    }
  }

  /** The newest version that all members understand: of one that was not heard yet nothing is known. */
  private agreeOnVersion(): void {
    let version = this.context.newestVersion;
    this.peers.forEach((peer, replica) => {
      if (replica !== this.context.replica) version = Math.min(version, peer.last?.newestVersion ?? OldestWireVersion);
    });
    if (version === this.version) return;
    this.version = version;
    this.context.data.speak(version);
  }

  private patienceUs(peer: Peer): number {
    return this.context.detectUs + peer.loopDelayUs;
  }

  private send(nowUs: number): void {
    const { data, heartbeatUs, incarnation, f } = this.context;
    this.sendUs = nowUs + heartbeatUs;
    this.delayUs = Math.max(data.loopDelayUs, this.delayUs * DelayDecay);
    const checkpoint = this.host.checkpoint();
    const normal = data.status === ReplicaStatus.Normal && data.viewDurable ? HeartbeatFlag.Normal : 0;
    const body = encodeHeartbeat({
      view: data.view,
      incarnation,
      loopDelayMs: Math.min(0xffff_ffff, Math.floor(this.delayUs / 1000)),
      committed: data.committed,
      end: data.logEnd,
      base: data.logBase,
      checkpoint: checkpoint?.seqno ?? 0,
      digest: checkpoint?.digest ?? noDigest,
      flags: normal | (this.alive > f ? HeartbeatFlag.Majority : 0) | (data.halted ? HeartbeatFlag.Halted : 0),
      newestVersion: this.context.newestVersion,
    });
    this.context.broadcast(MessageType.Heartbeat, body);
  }
}
