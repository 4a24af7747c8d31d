/** The addon's fabrics as TypeScript sees them: UDP sockets, the simulator's network, and the explorer's. */

export interface NativeUdpFabric {
  close(): void;
  /**
   * For tests and benchmarks: from now on each datagram with a request that arrives here waits, with this probability, until
   * `behind` (1 by default) others have passed it, 1 ms at most. Needs a seed of its own at each receiver. 0 or an errno.
   */
  setReordering(options: { ppm: number; seed: number; behind?: number }): number;
  /** How often the loop looked for datagrams before it slept, and how that ended: with a datagram, for nothing, or with the core taken away. */
  waitCounters(): { looks: number; found: number; missed: number; robbed: number };
}
export interface LoopPath {
  baseDelayUs: number;
  jitterUs: number;
  lossPpm: number;
  duplicatePpm: number;
  reorderPpm: number;
  reorderDelayUs: number;
  corruptPpm: number;
}
/** The explorer's transport: what is sent waits to be taken, what arrives is handed in; no time passes. Of one engine, unsealed. */
export interface NativeCaptureFabric {
  /** One message, and the end of its batch. `sender`: a replica's index or a client's id; `stream`: 16 bytes that name the sender's stream. */
  deliver(type: number, sender: number, stream: Uint8Array, body: Uint8Array): void;
  /** What was sent since the last call: receivers u32 (a bit for each replica, the highest: a client), type u32, length u32, body; and so on. */
  take(): Uint8Array | undefined;
}
/** The simulator's network: virtual time, all faults, trace hash. */
export interface NativeLoopHub {
  addPort(): number;
  setGroup(group: number, ports: number[]): void;
  setDefaultPath(path: LoopPath): void;
  setPath(from: number, to: number, path: LoopPath): void;
  setBlocked(from: number, to: number, blocked: boolean): void;
  setMulticastSkew(us: number): void;
  setClock(port: number, offsetUs: number, driftPpm: number): void;
  pause(port: number, untilUs: number): void;
  setOpen(port: number, open: boolean): void;
  nowUs(): number;
  /** Runs events until virtual time untilUs or maxEvents; returns how many ran. Exceptions thrown by upcalls are rethrown here. */
  run(untilUs: number, maxEvents: number): number;
  stop(): void;
  trace(bytes: Uint8Array): void;
  traceHash(): Uint8Array;
  /** Datagrams that this port sent (one for each member of a group) and received. */
  portCounters(port: number): { sent: number; received: number };
  counters(): {
    sent: number;
    delivered: number;
    lost: number;
    duplicated: number;
    reordered: number;
    corrupted: number;
    blocked: number;
    deferred: number;
    overflow: number;
  };
}
