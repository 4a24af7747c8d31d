/**
 * One client session in this thread: the native client engine, the slots of its window and the queue behind it.
 * Synchronous and without I/O of its own, so that the simulator drives it over the loop as the sockets do.
 */
import { randomBytes } from "node:crypto";
import { protocolRules } from "../config/protocols.js";
import type { Cluster } from "../config-types.js";
import { SquallError } from "../errors.js";
import type { WaitStrategy } from "../wait.js";
import {
  ClientRow,
  ClientState,
  ClientWord,
  CompletionKind,
  type Consistency,
  type NativeAddress,
  type NativeBinding,
  type NativeClientEngine,
  type NativeLoopHub,
  type NativeUdpFabric,
  RequestFlag,
  ResultStatus,
} from "./binding.js";
import { type Cancellation, callSafely, completionError, type InvokeCallback, NoBytes, Pending } from "./completions.js";
import { detachableClientUpcalls } from "./detachable.js";
import { addressErrorCode, type Endpoints, endpointsOf } from "./endpoints.js";
import { Outbox } from "./outbox.js";
import { ReadWindow, ReadWindowSize } from "./read-window.js";
import { joinWords } from "./seqno.js";
import { ViewCache } from "./view-cache.js";
import { copySmall, WaitQueue } from "./wait-queue.js";

/** Room for the operations of one flush, besides the largest. */
const RequestArenaBytes = 256 * 1024;
const ResultArenaBytes = 256 * 1024;
/** After LOG_FULL one request is let through so often, to find out whether there is room again. */
const LogFullProbeUs = 100_000;

export interface ClientHostOptions {
  binding: NativeBinding;
  fabric: NativeUdpFabric | NativeLoopHub;
  loopPort?: number;
  cluster: Cluster;
  endpoints?: Endpoints;
  /** Local address; any by default. */
  bind?: NativeAddress;
  /** 8 bytes; random by default, or that of the client key. */
  clientId?: Uint8Array;
  /** First-in-first-out within the session. */
  ordered?: boolean;
  /** Outstanding requests; at most the cluster's. */
  window?: number;
  /** Room for the operations of one flush, and for the results of one upcall, besides the largest. Default 256 KiB each. */
  arenaBytes?: number;
  minRetryMs?: number;
  maxRetryMs?: number;
  /** Over sockets only; default "block". */
  wait?: WaitStrategy;
  guardsOff?: number;
  /** ClientState changes. */
  onState?: (state: number) => void;
}

export type Submission = "accepted" | "window-full" | "too-large" | "log-full" | "closed" | "lost-session" | "not-connected";

export class ClientHost {
  readonly words = new Float64Array(ClientWord.Count);
  readonly engine: NativeClientEngine;
  readonly clientId: Uint8Array;
  readonly window: number;
  readonly maxOperationBytes: number;
  readonly #slots: Pending[];
  readonly #queue: WaitQueue;
  readonly #outbox: Outbox;
  readonly #reads: ReadWindow;
  /** Reads that are to be logged, and wait for a place in the window before all others. */
  readonly #unsettled: { entry: Pending; operation: Buffer }[] = [];
  readonly #completionRows: Uint32Array;
  readonly #results: ViewCache;
  readonly #onState: (state: number) => void;
  readonly #entry = new Pending();
  readonly #upcalls = detachableClientUpcalls({
    onComplete: (count) => this.#onComplete(count),
    onState: (state) => this.#onEngineState(state),
  });
  #next = 1; // request number; the registration has 0
  #outstanding = 0;
  #state: number = ClientState.Hello;
  #logFull = false;
  #probeUs = 0;
  #closed = false;
  /** Over the loop nothing waits for microtasks, since virtual time stands still while JavaScript runs: an upcall's requests leave at its end, others with flush(). */
  readonly #synchronous: boolean;
  #resolvedPromise = false;

  constructor(options: ClientHostOptions) {
    const { cluster, binding } = options;
    this.#synchronous = options.loopPort !== undefined;
    const { limits } = cluster;
    const endpoints = options.endpoints ?? endpointsOf(cluster);
    const identity = clientIdentity(binding, cluster, options.clientId);
    this.clientId = identity.id;
    this.window = Math.min(options.window ?? limits.window, limits.window);
    this.maxOperationBytes = limits.operationBytes;
    this.#slots = Array.from({ length: this.window }, () => new Pending());
    this.#queue = new WaitQueue(Math.max(1, limits.queue));
    this.#outbox = new Outbox(
      this.window,
      ReadWindowSize,
      limits.operationBytes + (options.arenaBytes ?? RequestArenaBytes),
      (requests, reads) => this.#send(requests, reads),
    );
    this.#outbox.held = this.#synchronous;
    this.#reads = new ReadWindow(Math.max(1, limits.queue), this.#outbox);
    this.#completionRows = new Uint32Array(this.window * ClientRow.Stride);
    this.#results = new ViewCache(limits.operationBytes + (options.arenaBytes ?? ResultArenaBytes));
    this.#onState = options.onState ?? (() => {});
    try {
      this.engine = new binding.ClientEngine(
        {
          fabric: options.fabric,
          ...(options.loopPort === undefined ? {} : { loopPort: options.loopPort }),
          group: cluster.group,
          clientId: identity.id,
          key: identity.key,
          replicas: endpoints.replicas,
          design: endpoints.design,
          ...(endpoints.target === undefined ? {} : { target: endpoints.target }),
          ...(options.bind === undefined ? {} : { bind: options.bind }),
          ...(endpoints.interface === undefined ? {} : { multicastInterface: endpoints.interface }),
          sealed: cluster.sealed,
          datagramBytes: cluster.datagramBytes,
          packing: cluster.packing,
          maxOperationBytes: limits.operationBytes,
          window: this.window,
          ordered: options.ordered === true,
          toLeader: protocolRules(cluster).toLeader,
          minRetryMs: options.minRetryMs ?? 5,
          maxRetryMs: options.maxRetryMs ?? 500,
          requestRows: this.#outbox.requestRows,
          readRows: this.#outbox.readRows,
          arena: this.#outbox.arena,
          completionRows: this.#completionRows,
          results: this.#results.region,
          status: this.words,
          ...(options.wait === undefined ? {} : { wait: options.wait }),
          ...(options.guardsOff === undefined ? {} : { guardsOff: options.guardsOff }),
        },
        this.#upcalls.upcalls,
      );
    } catch (cause) {
      const code = addressErrorCode(cause);
      if (code === undefined) throw cause;
      throw new SquallError(
        code,
        `The client's local address ${code === "ADDRESS_IN_USE" ? "is in use" : "can't be bound on this machine"}.`,
        { cause },
      );
    }
  }

  /** Says hello and registers a session; `onState` tells how it goes. */
  start(): void {
    this.engine.start();
  }
  get state(): number {
    return this.#state;
  }
  get closed(): boolean {
    return this.#closed;
  }
  /** Requests and reads sent and not completed. */
  get outstanding(): number {
    return this.#outstanding + this.#reads.outstanding;
  }
  /** Operations and reads that wait for a place in their window. */
  get queued(): number {
    return this.#queue.length + this.#reads.queued + this.#unsettled.length;
  }

  /** Never waits: takes the operation only if the window has a place now. Allocates nothing. */
  trySubmit(operation: Uint8Array, callback: InvokeCallback): Submission {
    const refusal = this.#refusal(operation) ?? this.#logRefusal();
    if (refusal !== undefined) return refusal;
    if (this.#state !== ClientState.Ready) return "not-connected";
    if (this.#queue.length > 0 || !this.#windowOpen()) return "window-full";
    this.#entry.callback = callback;
    this.#issue(this.#entry, operation);
    return "accepted";
  }

  /** The callback form. Beyond the window the operation waits; a full queue and every other failure go to the callback. Allocates nothing while it succeeds. */
  submit(operation: Uint8Array, callback: InvokeCallback): void {
    this.#entry.callback = callback;
    this.#submit(this.#entry, operation);
  }

  /** The promise form. */
  submitPromise(
    operation: Uint8Array,
    resolve: (result: Buffer) => void,
    reject: (error: SquallError) => void,
    cancellation: Cancellation | undefined,
  ): void {
    this.#entry.resolve = resolve;
    this.#entry.reject = reject;
    this.#entry.cancellation = cancellation;
    this.#submit(this.#entry, operation);
  }

  /** trySubmit for a read of the machine (its query). The window of reads is their own. */
  trySubmitRead(operation: Uint8Array, consistency: Consistency, callback: InvokeCallback): Submission {
    const refusal = this.#refusal(operation);
    if (refusal !== undefined) return refusal;
    if (this.#state !== ClientState.Ready) return "not-connected";
    if (!this.#reads.open) return "window-full";
    this.#entry.callback = callback;
    this.#entry.flags = consistency;
    this.#reads.issue(this.#entry, operation);
    return "accepted";
  }

  /** The promise form of a read. */
  submitReadPromise(
    operation: Uint8Array,
    consistency: Consistency,
    resolve: (result: Buffer) => void,
    reject: (error: SquallError) => void,
    cancellation: Cancellation | undefined,
  ): void {
    const entry = this.#entry;
    entry.resolve = resolve;
    entry.reject = reject;
    entry.cancellation = cancellation;
    entry.flags = consistency;
    const refusal = this.#refusal(operation);
    if (refusal !== undefined) entry.fail(this.#refusalError(refusal, operation.length));
    else if (this.#state === ClientState.Ready && this.#reads.open) this.#reads.issue(entry, operation);
    else if (this.#reads.queueFull) entry.fail(queueFullError());
    else this.#reads.wait(entry, operation);
  }

  /** Sends what was written since the last flush, now instead of at the end of the microtasks. */
  flush(): void {
    this.#outbox.flush();
  }

  #send(requests: number, reads: number): void {
    if (this.#state !== ClientState.Ready) return; // the session is lost, and what was written has failed with it
    if (requests > 0) this.engine.flush(requests);
    if (reads > 0) this.engine.flushReads(reads);
  }

  /** Rejects what is outstanding (outcome unknown) and what waits (not executed). Idempotent. */
  close(): void {
    if (this.#closed) return;
    this.flush();
    this.#closed = true;
    this.engine.close();
    this.#upcalls.detach();
    this.#failAll("CLOSED", "The client was closed");
  }

  #submit(entry: Pending, operation: Uint8Array): void {
    const refusal = this.#refusal(operation) ?? this.#logRefusal();
    if (refusal !== undefined) {
      entry.fail(this.#refusalError(refusal, operation.length));
    } else if (this.#state === ClientState.Ready && this.#queue.length === 0 && this.#windowOpen()) {
      this.#issue(entry, operation);
    } else if (this.#queue.full) {
      entry.fail(queueFullError());
    } else {
      this.#queue.push(operation).take(entry);
    }
  }

  #windowOpen(): boolean {
    return !(this.#slots[this.#next % this.window] as Pending).active;
  }

  #refusal(operation: Uint8Array): "closed" | "too-large" | "lost-session" | undefined {
    if (this.#closed) return "closed";
    if (operation.length > this.maxOperationBytes) return "too-large";
    if (this.#state === ClientState.Evicted || this.#state === ClientState.LifeChanged) return "lost-session";
    return undefined;
  }

  #logRefusal(): "log-full" | undefined {
    return this.#logFull && !this.#probeDue() ? "log-full" : undefined;
  }

  #refusalError(refusal: string, length: number): SquallError {
    switch (refusal) {
      case "closed":
        return new SquallError("CLOSED", "The client is closed; connect again.", { outcome: "not-executed" });
      case "too-large":
        return new SquallError(
          "OPERATION_TOO_LARGE",
          `The operation has ${length} bytes; limits.operationBytes allows ${this.maxOperationBytes}.`,
          { outcome: "not-executed" },
        );
      case "log-full":
        return completionError(ResultStatus.LogFull, "");
      default:
        return this.#sessionError("not-executed");
    }
  }

  #sessionError(outcome: "not-executed" | "unknown"): SquallError {
    return this.#state === ClientState.LifeChanged
      ? new SquallError("LIFE_CHANGED", "The cluster was bootstrapped anew; its former life is over. Connect again.", { outcome })
      : new SquallError("SESSION_EVICTED", "The replicas no longer know this client's session; connect again.", { outcome });
  }

  #probeDue(): boolean {
    const nowUs = this.engine.nowUs();
    if (nowUs < this.#probeUs) return false;
    this.#probeUs = nowUs + LogFullProbeUs;
    return true;
  }

  #issue(entry: Pending, operation: Uint8Array): void {
    copySmall(operation, this.#outbox.arena, this.#outbox.offsetFor(operation.length));
    this.#writeRow(entry, operation.length);
  }

  /** The operation's bytes lie where the outbox said; the window has a place. */
  #writeRow(entry: Pending, length: number): void {
    const slot = this.#next++ % this.window;
    const pending = this.#slots[slot] as Pending;
    pending.take(entry);
    if (pending.cancellation !== undefined) pending.cancellation.sent = true;
    this.#outstanding++;
    this.#outbox.addRequest(slot, length, pending.flags);
  }

  #drainQueues(): void {
    if (this.#state !== ClientState.Ready) return;
    this.#reads.drain();
    while (this.#unsettled.length > 0 && this.#windowOpen()) {
      const { entry, operation } = this.#unsettled.shift() as { entry: Pending; operation: Buffer };
      if (entry.cancellation?.settled !== true) this.#issue(entry, operation);
    }
    for (;;) {
      const entry = this.#queue.peek();
      if (entry === undefined) return;
      if (entry.cancellation?.settled === true) {
        this.#queue.shift();
        continue;
      }
      if (!this.#windowOpen()) return;
      const length = this.#queue.peekLength();
      this.#queue.copyTo(this.#outbox.arena, this.#outbox.offsetFor(length));
      this.#writeRow(entry, length);
      this.#queue.shift();
    }
  }

  #onComplete(count: number): void {
    this.#outbox.held = true;
    this.#resolvedPromise = false;
    const rows = this.#completionRows;
    for (let i = 0, base = 0; i < count; i++, base += ClientRow.Stride) {
      const slot = rows[base + ClientRow.Slot] as number;
      const kind = rows[base + ClientRow.Kind] as number;
      const pending = kind === CompletionKind.Request ? this.#slots[slot] : this.#reads.complete(slot);
      if (pending === undefined || !pending.active) continue;
      if (kind === CompletionKind.Request) this.#outstanding--;
      const status = rows[base + ClientRow.Status] as number;
      if (kind === CompletionKind.Unsettled) this.#logRead(pending, base);
      else if (status === ResultStatus.Ok) this.#succeed(pending, base, kind);
      else this.#failed(pending, base, status, kind === CompletionKind.Read || pending.flags === RequestFlag.Query);
    }
    this.#endUpcall();
  }

  #endUpcall(): void {
    if (!this.#closed) this.#drainQueues();
    this.#outbox.held = this.#synchronous;
    if (this.#outbox.empty || this.#closed) return;
    // Where promises were resolved, the requests of those who waited for them are yet to come.
    if (this.#resolvedPromise && !this.#synchronous) this.#outbox.flushSoon();
    else this.flush();
  }

  /** A read whose answers never matched goes through the log. */
  #logRead(pending: Pending, base: number): void {
    const rows = this.#completionRows;
    const operation = this.#results.copy(rows[base + ClientRow.Offset] as number, rows[base + ClientRow.Length] as number);
    const entry = new Pending();
    entry.take(pending);
    entry.flags = RequestFlag.Query;
    this.#unsettled.push({ entry, operation });
  }

  #succeed(pending: Pending, base: number, kind: number): void {
    const rows = this.#completionRows;
    const offset = rows[base + ClientRow.Offset] as number;
    const length = rows[base + ClientRow.Length] as number;
    const { resolve, callback } = pending;
    if (kind === CompletionKind.Request) this.#logFull = false;
    if (!pending.release()) return;
    if (resolve !== undefined) {
      this.#resolvedPromise = true;
      resolve(length === 0 ? NoBytes : this.#results.copy(offset, length));
    } else if (callback !== undefined) {
      const seqno = joinWords(rows[base + ClientRow.SeqnoLo] as number, rows[base + ClientRow.SeqnoHi] as number);
      callSafely(callback, undefined, this.#results.view(offset, length), seqno);
    }
  }

  #failed(pending: Pending, base: number, status: number, query: boolean): void {
    const rows = this.#completionRows;
    const text = this.#results.copy(rows[base + ClientRow.Offset] as number, rows[base + ClientRow.Length] as number).toString("utf8");
    const seqno = joinWords(rows[base + ClientRow.SeqnoLo] as number, rows[base + ClientRow.SeqnoHi] as number);
    pending.fail(completionError(status, text, seqno, query), seqno);
    if (status !== ResultStatus.LogFull) return;
    this.#logFull = true;
    this.#probeUs = this.engine.nowUs() + LogFullProbeUs;
    this.#failQueue(() => completionError(ResultStatus.LogFull, ""));
  }

  #onEngineState(state: number): void {
    this.#outbox.held = true;
    this.#resolvedPromise = true;
    this.#state = state;
    if (state === ClientState.Evicted || state === ClientState.LifeChanged) this.#failAll(undefined, "");
    this.#onState(state);
    this.#endUpcall();
  }

  #failAll(code: "CLOSED" | undefined, message: string): void {
    const error = (outcome: "not-executed" | "unknown"): SquallError =>
      code === undefined
        ? this.#sessionError(outcome)
        : new SquallError(
            code,
            `${message} ${outcome === "unknown" ? "while the operation was under way" : "before the operation was sent"}.`,
            { outcome },
          );
    for (const pending of this.#slots) {
      if (!pending.active) continue;
      this.#outstanding--;
      pending.fail(error("unknown"));
    }
    this.#reads.failAll(
      (pending) => pending.fail(error("unknown")),
      (pending) => pending.fail(error("not-executed")),
    );
    for (const { entry } of this.#unsettled.splice(0)) entry.fail(error("unknown"));
    this.#failQueue(() => error("not-executed"));
  }

  #failQueue(error: () => SquallError): void {
    // Callbacks may submit again; what they add is judged anew.
    for (let left = this.#queue.length; left > 0; left--) {
      const entry = new Pending();
      entry.take(this.#queue.peek() as Pending);
      this.#queue.shift();
      entry.fail(error());
    }
  }
}

function queueFullError(): SquallError {
  return new SquallError("QUEUE_FULL", "The window and the queue behind it are full; wait for results, or raise limits.queue.", {
    outcome: "not-executed",
  });
}

function clientIdentity(binding: NativeBinding, cluster: Cluster, wanted: Uint8Array | undefined): { id: Uint8Array; key: Uint8Array } {
  if (cluster.clientKey !== undefined) return cluster.clientKey;
  if (cluster.secret === undefined) {
    throw new SquallError("SECRET_MISSING", "A client needs a client key or the cluster's secret; the cluster file names either.");
  }
  const id = wanted ?? randomBytes(8);
  return { id, key: binding.clientKey(cluster.secret, id) };
}
