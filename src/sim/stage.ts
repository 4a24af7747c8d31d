/** What the scripts see of the replicas, and what they do to them and to the links between them. */
import { type NativeLoopHub, ReplicaStatus } from "../data/binding.js";
import { cleanPath, type Ports } from "./paths.js";

/** What a script sees of a replica. */
export interface StageReplica {
  view: number;
  status: number;
  mode: number;
  logEnd: number;
  committed: number;
}

export type Condition = () => boolean;
export type Script = Generator<Condition, void, void>;

const SLOW_US = 80_000;

/** What can happen to a replica at any time. */
export interface StageActions {
  /** It gives up its view for this later one. */
  leave(index: number, view: number): void;
  /** It dies with its memory ... */
  kill(index: number): void;
  /** ... and starts again. */
  restart(index: number): void;
}

export class Stage {
  constructor(
    private readonly hub: NativeLoopHub,
    private readonly ports: Ports,
    readonly replica: (index: number) => StageReplica,
    private readonly actions: StageActions,
  ) {}

  /** What is to be done to replicas, which may be in the middle of an upcall now. */
  readonly due: (() => void)[] = [];

  leave(index: number, view: number): void {
    this.due.push(() => this.actions.leave(index, view));
  }
  kill(index: number): void {
    this.due.push(() => this.actions.kill(index));
  }
  restart(index: number): void {
    this.due.push(() => this.actions.restart(index));
  }

  get nowUs(): number {
    return this.hub.nowUs();
  }
  get replicas(): number[] {
    return [...this.ports.replicas.keys()];
  }

  get clients(): number {
    return this.ports.clients.length;
  }
  cut(from: number, to: number, cut = true): void {
    this.hub.setBlocked(this.ports.replicas[from]!, this.ports.replicas[to]!, cut);
  }
  /** Only these replicas hear each other. */
  connect(members: readonly number[]): void {
    for (const a of this.replicas)
      for (const b of this.replicas) if (a !== b) this.cut(a, b, !(members.includes(a) && members.includes(b)));
  }
  cutBoth(a: number, b: number, cut = true): void {
    this.cut(a, b, cut);
    this.cut(b, a, cut);
  }
  /** Requests of the clients with these indexes (all by default) to a replica; its replies still arrive. */
  cutClients(to: number, cut = true, which: (client: number) => boolean = () => true): void {
    for (const [index, port] of this.ports.clients.entries()) if (which(index)) this.hub.setBlocked(port, this.ports.replicas[to]!, cut);
  }
  slow(from: number, to: number, baseDelayUs = SLOW_US): void {
    this.hub.setPath(this.ports.replicas[from]!, this.ports.replicas[to]!, { ...cleanPath, baseDelayUs });
  }
  /** What is sent from now on takes that long, and what is sent after normal() arrives before it. */
  detour(from: number, to: number, baseDelayUs: number): void {
    const path = { ...cleanPath, baseDelayUs, reorderPpm: 1_000_000 };
    this.hub.setPath(this.ports.replicas[from]!, this.ports.replicas[to]!, path);
  }
  normal(from: number, to: number): void {
    this.hub.setPath(this.ports.replicas[from]!, this.ports.replicas[to]!, cleanPath);
  }
  /** Holds once so much virtual time has passed. */
  after(delayUs: number): Condition {
    const atUs = this.hub.nowUs() + delayUs;
    return () => this.hub.nowUs() >= atUs;
  }
  /** NORMAL in `view` or a later one. */
  entered(index: number, view: number): boolean {
    const { view: own, status } = this.replica(index);
    return own >= view && status === ReplicaStatus.Normal;
  }
  uncommitted(index: number): boolean {
    const { logEnd, committed } = this.replica(index);
    return logEnd > committed;
  }
  calm(): boolean {
    const first = this.replica(0);
    return this.replicas.every((index) => {
      const { view, status, logEnd } = this.replica(index);
      return status === ReplicaStatus.Normal && view === first.view && logEnd === first.logEnd;
    });
  }
  open(): void {
    const all = [...this.ports.replicas, ...this.ports.clients];
    for (const from of all) {
      for (const to of all) {
        this.hub.setPath(from, to, cleanPath);
        this.hub.setBlocked(from, to, false);
      }
    }
  }
}
