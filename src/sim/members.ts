/**
 * Who the members of a simulated cluster are, and the operator who changes them: asks for one configuration after the other, as
 * `squall members` does, and now and then forgets one.
 */
import { type Configuration, encodeConfiguration, MaxMembers, type Member } from "../control/membership.js";
import { tolerated } from "../control/quorums.js";
import { MessageType, type NativeAddress, type NativeBinding, type NativeToolEngine, ReplicaStatus, StatusWord } from "../data/binding.js";
import { hex } from "../data/hashing.js";
import type { ReplicaHost } from "../data/replica-host.js";
import { randomBytes, type SimulatedCluster } from "./cluster.js";
import type { Prng } from "./prng.js";
import type { Crashes } from "./schedule.js";
import type { Trace } from "./trace.js";

const CLIENT_ID_BYTES = 8;
/** How often a change meets the worst: see isolate(). */
const WORST_CHANCE = 0.4;
const WORST_US = 30_000;
/** It stays in all configurations: every client knows its address. */
const ANCHOR_PLACE = 0;

export interface PlacedMembers {
  epoch: number;
  /** By index. */
  places: number[];
  /** Of the processes that joined with this configuration, by index. */
  bootIds: (string | undefined)[];
}

/** The members of the newest epoch that any replica is in. */
export function newestMembers(cluster: SimulatedCluster): PlacedMembers {
  let newest: ReplicaHost | undefined;
  for (const place of cluster.replicaPorts.keys()) {
    const host = cluster.host(place);
    if (host !== undefined && (newest === undefined || host.epoch > newest.epoch)) newest = host;
  }
  const configuration = newest?.epochs.configuration;
  if (configuration !== undefined) return placed(cluster, configuration);
  const places = cluster.cluster.replicas.map((_, place) => place);
  return { epoch: 0, places, bootIds: places.map(() => undefined) };
}

function placed(cluster: SimulatedCluster, { epoch, members }: Configuration): PlacedMembers {
  return { epoch, places: members.map(({ address }) => cluster.placeOf(address)), bootIds: members.map(({ bootId }) => bootId) };
}

export class MembersOperator {
  /** The request that is repeated until the epoch has begun. */
  private request: { epoch: number; tool: NativeToolEngine; old: number; body: Uint8Array } | undefined;
  /** Cut off until then; who stays of them dies at that moment, and is started again later. */
  private worst: { untilUs: number; pairs: [number, number][]; victims: number[]; killed: boolean } | undefined;
  /** All that was ever asked for: any may come to be, as long as its epoch has not begun. */
  private readonly asked: PlacedMembers[] = [];
  /** Configurations that were seen to begin, by epoch. */
  private readonly seen = new Map<number, PlacedMembers>();

  constructor(
    private readonly binding: NativeBinding,
    private readonly cluster: () => SimulatedCluster,
    private readonly crashes: () => Crashes,
    private readonly prng: Prng,
  ) {}

  /** Draws another configuration and begins to ask for it. Without effect while one is asked for, or when there is nothing to change. */
  change(trace: Trace | undefined): void {
    if (this.request !== undefined) return;
    const before = this.newest();
    const configuration = this.draw(before);
    const lifeId = before.places.map((place) => this.cluster().host(place)?.engine.lifeId()).find((life) => life !== undefined);
    if (configuration === undefined || lifeId === undefined) return;
    const cluster = this.cluster();
    const next = placed(cluster, configuration);
    // As `squall members` does: what can't go on once it has begun is not asked for.
    if (this.lost(next, -1) > tolerated(next.places.length)) return;
    trace?.(cluster.hub.nowUs(), `operator: epoch ${next.epoch} is to have its members at ${next.places.join(", ")}`);
    this.asked.push(next);
    const { group, secret, sealed, datagramBytes } = cluster.cluster;
    const tool = new this.binding.ToolEngine(
      {
        fabric: cluster.hub,
        loopPort: cluster.operatorPort,
        group,
        role: "operator",
        id: randomBytes(this.prng, CLIENT_ID_BYTES),
        key: secret!,
        replicas: before.places.map((place): NativeAddress => ({ loop: cluster.replicaPorts[place]! })),
        sealed,
        datagramBytes,
      },
      () => {},
    );
    this.request = {
      epoch: next.epoch,
      tool,
      old: before.places.length,
      body: Buffer.concat([lifeId, encodeConfiguration(configuration)]),
    };
    if (configuration.leaving.length > 0 && this.worst === undefined && this.prng.chance(WORST_CHANCE)) this.isolate(before, next, trace);
    this.step();
  }

  /**
   * f+1 members end the epoch among themselves, all who leave among them. The rest hear nothing of it, nor do those who join; and then those
   * of the f+1 who stay die: only who leaves knows by then how the epoch ended.
   */
  private isolate(before: PlacedMembers, next: PlacedMembers, trace: Trace | undefined): void {
    const { hub, replicaPorts } = this.cluster();
    const leaving = before.places.filter((place) => !next.places.includes(place));
    const staying = this.prng.shuffle(before.places.filter((place) => next.places.includes(place)));
    const victims = staying.slice(0, tolerated(before.places.length) + 1 - leaving.length);
    const side = [...leaving, ...victims];
    const others = [...replicaPorts.keys()].filter((place) => !side.includes(place));
    const pairs = side.flatMap((a) => others.map((b): [number, number] => [replicaPorts[a]!, replicaPorts[b]!]));
    for (const [a, b] of pairs) {
      hub.setBlocked(a, b, true);
      hub.setBlocked(b, a, true);
    }
    trace?.(hub.nowUs(), `operator: ${side.join(", ")} are cut off, ${victims.join(", ")} will die`);
    this.worst = { untilUs: hub.nowUs() + WORST_US, pairs, victims, killed: false };
  }

  private worsen(): void {
    const { worst } = this;
    const { hub } = this.cluster();
    if (worst === undefined || hub.nowUs() < worst.untilUs) return;
    if (worst.killed) {
      for (const victim of worst.victims) this.crashes().restart(victim);
      this.worst = undefined;
      return;
    }
    for (const victim of worst.victims) this.crashes().kill(victim, false);
    for (const [a, b] of worst.pairs) {
      hub.setBlocked(a, b, false);
      hub.setBlocked(b, a, false);
    }
    worst.killed = true;
    worst.untilUs += WORST_US;
  }

  /** Repeats the request. */
  step(): void {
    this.worsen();
    this.replaceRetired();
    if (this.request === undefined) return;
    const { epoch, tool, old, body } = this.request;
    if (this.newest().epoch >= epoch || this.prng.chance(0.02)) {
      this.forget();
      return;
    }
    for (let index = 0; index < old; index++) tool.ask(index, MessageType.Reconfigure, body);
  }

  /** One that was asked to join a second time before it heard of the first, and retires from there, has to be started again. */
  private replaceRetired(): void {
    const cluster = this.cluster();
    for (const place of this.newest().places) if (cluster.host(place) === undefined && !cluster.isDead(place)) this.startBlank(place);
  }

  private startBlank(place: number): void {
    const cluster = this.cluster();
    const name = `joins ${this.asked.length} ${place}`;
    // One that was a member may not come back with what it was.
    cluster.disks?.replace(place, name);
    cluster.restart(place, this.prng.split(name));
  }

  private forget(): void {
    this.request?.tool.close();
    this.request = undefined;
  }

  /** The faults are over. */
  stop(): void {
    this.forget();
    this.replaceRetired();
    for (const victim of this.worst?.victims ?? []) this.crashes().restart(victim);
    this.worst = undefined;
  }

  /**
   * Whether this replica's memory may get lost now: at most f of a configuration at a time. An epoch's members have to bear with it until a
   * majority of the next ones has the state, and those from then on; what is only asked for may begin at any moment.
   */
  mayLose(place: number): boolean {
    this.newest();
    // Also when all that were seen in it are dead now.
    const newest = this.seen.get(Math.max(...this.seen.keys()))!;
    const before = this.seen.get(newest.epoch - 1);
    const relevant = [newest, ...this.asked.filter(({ epoch }) => epoch === newest.epoch + 1)];
    if (before !== undefined && this.holders(newest) <= tolerated(newest.places.length)) relevant.push(before);
    return relevant.every((members) => !members.places.includes(place) || this.lost(members, place) < tolerated(members.places.length));
  }

  private newest(): PlacedMembers {
    const newest = newestMembers(this.cluster());
    this.seen.set(newest.epoch, newest);
    return newest;
  }

  private holders({ epoch, places }: PlacedMembers): number {
    return places.filter((place) => {
      const host = this.cluster().host(place);
      return host !== undefined && host.epoch >= epoch && host.words[StatusWord.Status] !== ReplicaStatus.Recovery;
    }).length;
  }

  /**
   * Members that are dead, whose memory of this epoch, or of the one it follows, is lost, or whose machine is ill: it never has the state that
   * the next epoch begins with. `besides`: not counted for its machine.
   */
  private lost({ epoch, places, bootIds }: PlacedMembers, besides: number): number {
    return places.filter((place, index) => {
      const host = this.cluster().host(place);
      // Who has retired was no longer needed, as it seemed.
      if (host === undefined) return this.cluster().isForgotten(place);
      if (place !== besides && this.cluster().isIll(place)) return true;
      if (host.words[StatusWord.Status] !== ReplicaStatus.Recovery) return false;
      if (host.epochs.joining) return host.epoch > epoch;
      return bootIds[index] === undefined || bootIds[index] !== hex(host.bootId);
    }).length;
  }

  private draw({ epoch, places }: PlacedMembers): Configuration | undefined {
    const { prng } = this;
    const n = places.length;
    const blank = prng.shuffle(this.blank(places));
    // A majority stays: f of them may die on the way.
    const mayLeave = places.filter((place) => place !== ANCHOR_PLACE);
    const dead = mayLeave.filter((place) => this.cluster().host(place) === undefined);
    const most = Math.min(tolerated(n), blank.length);
    const leaving = new Set<number>();
    let joining = 0;
    const kind = prng.pick(["replace", "replace", "add", "remove", "both"]);
    const leave = (count: number): void => {
      const order = prng.chance(0.5) ? [...dead, ...prng.shuffle(mayLeave)] : prng.shuffle(mayLeave);
      for (const place of order) if (leaving.size < count) leaving.add(place);
    };
    if (kind === "remove" && n >= 5) {
      leave(2);
    } else if (kind === "add" && n + 2 <= MaxMembers && blank.length >= 2) {
      joining = 2;
    } else if (kind === "both" && n + 2 <= MaxMembers && blank.length >= 3) {
      leave(1);
      joining = 3;
    } else if (most > 0) {
      leave(prng.between(1, most));
      joining = leaving.size;
    }
    if (leaving.size + joining === 0) return undefined;
    const address = (place: number): NativeAddress => ({ loop: this.cluster().replicaPorts[place]! });
    const members = places.flatMap((place, from): Member[] => (leaving.has(place) ? [] : [{ address: address(place), from }]));
    for (const place of blank.slice(0, joining)) members.push({ address: address(place), bootId: hex(this.cluster().host(place)!.bootId) });
    return { epoch: epoch + 1, members: prng.chance(0.3) ? prng.shuffle(members) : members, leaving: [...leaving].map(address) };
  }

  /** Places with a blank replica that is no member; where nobody runs, one is started. */
  private blank(members: readonly number[]): number[] {
    const cluster = this.cluster();
    const places: number[] = [];
    for (const place of cluster.replicaPorts.keys()) {
      if (members.includes(place) || cluster.isDead(place)) continue;
      if (cluster.host(place) === undefined) this.startBlank(place);
      const host = cluster.host(place)!;
      if (host.words[StatusWord.Status] === ReplicaStatus.Recovery && host.engine.lifeId() === undefined) places.push(place);
    }
    return places;
  }
}
