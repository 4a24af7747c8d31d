/** A client's engine of the native addon as TypeScript sees it (see binding.ts). */
import type { WaitStrategy } from "../wait.js";
import type { NativeAddress } from "./binding.js";
import type { NativeLoopHub, NativeUdpFabric } from "./fabric-binding.js";

export interface ClientEngineOptions {
  fabric: NativeUdpFabric | NativeLoopHub;
  loopPort?: number;
  group: Uint8Array;
  clientId: Uint8Array; // 8 bytes
  key: Uint8Array; // 32 bytes: the client's own key
  replicas: NativeAddress[];
  /** Where requests go: every replica by unicast, a multicast group, or a relay that orders them. */
  design: "unicast" | "multicast" | "serialized";
  target?: NativeAddress;
  bind?: NativeAddress;
  multicastInterface?: string;
  sealed: boolean;
  datagramBytes: number;
  /** As of a replica. */
  packing?: boolean;
  maxOperationBytes: number;
  window: number;
  ordered: boolean;
  /** A request's first try goes to the leader of the newest view heard of, by unicast; later ones where `design` says. */
  toLeader: boolean;
  minRetryMs: number;
  maxRetryMs: number;
  /** Requests: TypeScript writes rows before flush(count). u32 words: 0 slot, 1 offset in `arena`, 2 length, 3 RequestFlag. */
  requestRows: Uint32Array;
  /** The same for reads and flushReads(count), with Consistency in word 3; as many slots as rows, each to be free. */
  readRows: Uint32Array;
  arena: Uint8Array;
  /** Completions: ClientRow. Results lie in `results`. */
  completionRows: Uint32Array;
  results: Uint8Array;
  status: Float64Array; // ClientWord
  /** As ReplicaEngineOptions.wait. */
  wait?: WaitStrategy;
  guardsOff?: number;
}
export const RequestFlag = { Query: 4 } as const;
export const Consistency = { Linearizable: 0, Session: 1, Stale: 2 } as const;
export type Consistency = (typeof Consistency)[keyof typeof Consistency];
/** Unsettled: the replicas' answers to a linearizable read never matched; the result is its operation, to be sent as a logged query. */
export const CompletionKind = { Request: 0, Read: 1, Unsettled: 2 } as const;
/** u32 words of a completion: slot (of requests or of reads), ResultStatus, offset and length in `results`, seqno lo/hi, latency in us, kind. */
export const ClientRow = { Slot: 0, Status: 1, Offset: 2, Length: 3, SeqnoLo: 4, SeqnoHi: 5, LatencyUs: 6, Kind: 7, Stride: 8 } as const;
export const ClientWord = {
  State: 0, // ClientState
  SessionLo: 1,
  SessionHi: 2,
  RequestsSent: 3,
  Retransmissions: 4,
  Completions: 5,
  Mismatches: 6,
  Complaints: 7,
  RttUs: 8,
  RetryUs: 9,
  FramesReceived: 10,
  FramesSent: 11,
  RejectWrongGroup: 12,
  RejectBadKey: 13,
  RejectVersion: 14,
  Welcomes: 15,
  Blank: 16,
  View: 17,
  CommittedReplies: 18,
  Resends: 19,
  Reads: 20, // reads answered
  ReadRetries: 21,
  ReadMismatches: 22, // tries whose answers could not match
  ReadsLogged: 23, // linearizable reads that became logged operations
  Epoch: 24,
  DropBase: 32,
  Count: 64,
} as const;
export const ClientState = { Hello: 0, Registering: 1, Ready: 2, LifeChanged: 3, Evicted: 4, Closed: 5 } as const;

export interface ClientUpcalls {
  /** Rows [0, count) are completed. Requests written during the upcall (and its microtasks) are flushed by the native side: see requestCount. */
  onComplete(count: number): void;
  /** State changed (ClientWord.State). */
  onState(state: number): void;
}
export interface NativeClientEngine {
  start(): void;
  /** Demonstrations and tests: while on, each request travels in a frame of its own and every replica gets them in another order. */
  scramble(on: boolean): void;
  /** Names lead there now: replicas are greeted at those addresses too, and are served there once they answer. `target`: the relay. */
  setAddresses(to: { replicas: NativeAddress[]; target?: NativeAddress }): void;
  /** Takes `count` request rows. Slot = request number mod window; TypeScript guarantees that the slot is free. */
  flush(count: number): void;
  flushReads(count: number): void;
  nowUs(): number;
  session(): Uint8Array;
  ref(): void;
  unref(): void;
  address(): NativeAddress;
  close(): void;
}
