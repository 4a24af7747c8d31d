/** The client of a replicated state machine: connects, invokes operations, keeps its window full. */
import { type ClusterSource, loadCluster } from "./config.js";
import { type Cluster, lookAgain } from "./config-types.js";
import { ClientState, ClientWord, Consistency, dropReasons, type NativeAddress } from "./data/binding.js";
import { ClientHost, type Submission } from "./data/client-host.js";
import type { InvokeCallback } from "./data/completions.js";
import { type FabricLease, leaseFabric } from "./data/fabrics.js";
import { InvokeCancellation } from "./data/invoke-cancellation.js";
import { loadBinding } from "./data/load.js";
import { NameWatch } from "./data/name-watch.js";
import { type ErrorCode, SquallError, whenNothingCompletes } from "./errors.js";
import { checkAddress, checkFunction, checkInteger, checkOptions, checkSignal, describeValue, suggestName } from "./options.js";
import { checkWait, type WaitStrategy } from "./wait.js";

export interface ConnectOptions {
  /** Cluster file (path or URL), its content, or a loaded cluster. */
  cluster: ClusterSource;
  /** First-in-first-out within the session: an operation executes only after those invoked before it. Default false. */
  ordered?: boolean;
  /** Operations under way at once, 1 to the cluster's limits.window (the default). */
  window?: number;
  /** Until a session must be registered; default 5,000 ms. */
  deadlineMs?: number;
  /** Gives up connecting. */
  signal?: AbortSignal;
  /** A client's own key instead of the secret: path of the file of `squall key issue`, or its content. */
  clientKey?: string | URL | { cluster: string; id: string; key: string };
  /** Local address to send from; any by default. */
  bind?: { ip: string; port: number };
  /** Bounds of the adaptive retransmission time-out; default 5 and 500 ms. */
  minRetryMs?: number;
  maxRetryMs?: number;
  /** What this thread's loop does while it waits for replies (docs/performance.md). Default "block". */
  wait?: WaitStrategy;
}

export interface InvokeOptions {
  /** Gives the operation up: ABORTED, with outcome "unknown" once it was sent, else "not-executed". */
  signal?: AbortSignal;
  /** Gives the operation up after so many ms: DEADLINE_EXCEEDED, with the same outcomes. */
  deadlineMs?: number;
}

export type ConsistencyName = "linearizable" | "session" | "stale";

export interface ReadOptions extends InvokeOptions {
  /**
   * linearizable (default): sees every operation completed before the read began, by whomever. session: sees a committed state with all
   * that this client has seen, from one replica. stale: what one replica has now, perhaps old, perhaps rolled back later.
   */
  consistency?: ConsistencyName;
}

export interface ClientMetrics {
  /** Operations and reads under way, and waiting for a place. */
  outstanding: number;
  queued: number;
  requestsSent: number;
  retransmissions: number;
  completions: number;
  /** Operations whose replies did not match at first: replicas had them in different orders. */
  mismatches: number;
  complaints: number;
  /** Operations completed because a replica knew them committed. */
  committedReplies: number;
  /** Ordered operations sent again because a predecessor was missing. */
  resends: number;
  /** Reads answered without the log, tries beyond the first of them, those whose answers could not match, and reads that were logged. */
  reads: number;
  readRetries: number;
  readMismatches: number;
  readsLogged: number;
  /** Smoothed round-trip time and present retransmission time-out. */
  rttUs: number;
  retryUs: number;
  framesReceived: number;
  framesSent: number;
  view: number;
  dropped: Record<string, number>;
}

const connectOptionNames = [
  "cluster",
  "ordered",
  "window",
  "deadlineMs",
  "signal",
  "clientKey",
  "bind",
  "minRetryMs",
  "maxRetryMs",
  "wait",
];
const invokeOptionNames = ["signal", "deadlineMs"];
const readOptionNames = ["consistency", ...invokeOptionNames];
const consistencies: Readonly<Record<ConsistencyName, Consistency>> = {
  linearizable: Consistency.Linearizable,
  session: Consistency.Session,
  stale: Consistency.Stale,
};
const noCallback: InvokeCallback = () => {};

// One executor for all promises: a closure for each would be one more object per operation.
let capturedResolve: (result: Buffer) => void;
let capturedReject: (error: SquallError) => void;
function capture(resolve: (result: Buffer) => void, reject: (error: SquallError) => void): void {
  capturedResolve = resolve;
  capturedReject = reject;
}

/**
 * Connects to a cluster and registers a session. Rejects, at the deadline at the latest, with NOBODY_THERE, WRONG_CLUSTER,
 * WRONG_KEY, VERSION_MISMATCH, NOT_BOOTSTRAPPED or CONNECT_TIMEOUT; with ABORTED when the signal says so; at once with
 * INVALID_OPTION, UNKNOWN_OPTION, ADDRESS_IN_USE, ADDRESS_INVALID and with what loadCluster rejects with.
 */
export async function connect(options: ConnectOptions): Promise<Client> {
  checkOptions("connect", options, connectOptionNames);
  const signal = checkSignal(options.signal);
  const deadlineMs = options.deadlineMs === undefined ? 5_000 : checkInteger("deadlineMs", options.deadlineMs, 1, 3_600_000);
  const cluster = await loadCluster(options.cluster, {
    role: "client",
    ...(options.clientKey === undefined ? {} : { clientKey: options.clientKey }),
  });
  if (options.window !== undefined) checkInteger("window", options.window, 1, cluster.limits.window);
  if (options.minRetryMs !== undefined) checkInteger("minRetryMs", options.minRetryMs, 1, 60_000);
  if (options.maxRetryMs !== undefined) checkInteger("maxRetryMs", options.maxRetryMs, options.minRetryMs ?? 1, 600_000);
  if (options.ordered !== undefined && typeof options.ordered !== "boolean") {
    throw new SquallError("INVALID_OPTION", `ordered must be true or false; it is ${describeValue(options.ordered)}.`);
  }
  if (options.bind !== undefined) checkAddress("bind", options.bind, 0);
  checkWait(options.wait);
  if (signal?.aborted === true) throw connectAborted(signal);
  const client = new Client(cluster, options);
  try {
    await client[ready](deadlineMs, signal);
  } catch (error) {
    client.close();
    throw error;
  }
  return client;
}

const ready = Symbol("ready");

function connectAborted(signal: AbortSignal | undefined): SquallError {
  return new SquallError("ABORTED", "Connecting was aborted.", { cause: signal?.reason });
}

/** A session with a cluster; made by `connect`. Operations of one session have no order among themselves unless it is ordered. */
export class Client {
  readonly #host: ClientHost;
  readonly #lease: FabricLease;
  readonly #cluster: Cluster;
  readonly #names: NameWatch | undefined;
  #onState: ((state: number) => void) | undefined;

  /** Use `connect`. */
  constructor(cluster: Cluster, options: ConnectOptions) {
    const binding = loadBinding();
    this.#cluster = cluster;
    this.#lease = leaseFabric(binding);
    try {
      this.#host = new ClientHost({
        binding,
        fabric: this.#lease.fabric,
        cluster,
        ...(options.bind === undefined ? {} : { bind: options.bind as NativeAddress }),
        ...(options.ordered === undefined ? {} : { ordered: options.ordered }),
        ...(options.window === undefined ? {} : { window: options.window }),
        ...(options.minRetryMs === undefined ? {} : { minRetryMs: options.minRetryMs }),
        ...(options.maxRetryMs === undefined ? {} : { maxRetryMs: options.maxRetryMs }),
        ...(options.wait === undefined ? {} : { wait: options.wait }),
        onState: (state) => this.#onState?.(state),
      });
    } catch (error) {
      this.#lease.release();
      throw error;
    }
    const lookUp = cluster[lookAgain];
    if (lookUp !== undefined) this.#names = new NameWatch(this.#host, cluster, lookUp);
  }

  /**
   * Executes an operation (at most limits.operationBytes; copied at once) on the replicated machine and resolves to its
   * result, the caller's own. Beyond the window operations wait in a queue of limits.queue places. Rejects with a
   * SquallError whose `outcome` says whether it was executed: QUEUE_FULL, OPERATION_TOO_LARGE, CLOSED, ABORTED,
   * DEADLINE_EXCEEDED, LOG_FULL, MACHINE_THREW, MACHINE_RETURNED_PROMISE, MACHINE_RETURNED_INVALID, RESULT_TOO_LARGE,
   * SESSION_EVICTED, LIFE_CHANGED, INVALID_OPTION.
   */
  invoke(operation: Uint8Array, options?: InvokeOptions): Promise<Buffer> {
    if (options !== undefined || !(operation instanceof Uint8Array)) return this.#invokeWithOptions(operation, options ?? {});
    const promise = new Promise<Buffer>(capture);
    this.#host.submitPromise(operation, capturedResolve, capturedReject, undefined);
    return promise;
  }

  /**
   * The callback form of invoke; allocates nothing per operation while it succeeds. The result is valid during the
   * callback only. The callback may be called before invokeWith returns, when the operation is refused. Throws INVALID_OPTION when an
   * argument has another type.
   */
  invokeWith(operation: Uint8Array, callback: InvokeCallback): void {
    checkOperation(operation);
    checkFunction("callback", callback);
    this.#host.submit(operation, callback);
  }

  /** Never waits: takes the operation only if the window has a place now, and says so. `callback` as in invokeWith, and so is what it throws. */
  tryInvoke(operation: Uint8Array, callback: InvokeCallback = noCallback): Submission {
    checkOperation(operation);
    checkFunction("callback", callback);
    return this.#host.trySubmit(operation, callback);
  }

  /**
   * Asks the machine's query (`operation`: at most limits.operationBytes; copied at once) without logging anything, and resolves to its
   * answer, the caller's own. Reads have a window of 64 and a queue of limits.queue places of their own, and no order among themselves or
   * with outstanding operations. A linearizable read that meets replicas at different points again and again becomes a logged operation.
   * Rejects as invoke does, and with QUERY_UNSUPPORTED when the machine has no query.
   */
  read(operation: Uint8Array, options?: ReadOptions): Promise<Buffer> {
    if (options !== undefined || !(operation instanceof Uint8Array)) return this.#readWithOptions(operation, options ?? {});
    const promise = new Promise<Buffer>(capture);
    this.#host.submitReadPromise(operation, Consistency.Linearizable, capturedResolve, capturedReject, undefined);
    return promise;
  }

  /** The session's id and who it belongs to, in hexadecimal, and its limits. */
  get session(): { id: string; clientId: string; window: number; maxOperationBytes: number; cluster: string } {
    const { words, clientId, window, maxOperationBytes } = this.#host;
    const id = Buffer.alloc(8);
    id.writeUInt32LE(words[ClientWord.SessionLo] as number, 0);
    id.writeUInt32LE(words[ClientWord.SessionHi] as number, 4);
    return {
      id: id.toString("hex"),
      clientId: Buffer.from(clientId).toString("hex"),
      window,
      maxOperationBytes,
      cluster: Buffer.from(this.#cluster.group).toString("hex"),
    };
  }

  get closed(): boolean {
    return this.#host.closed;
  }

  metrics(): ClientMetrics {
    const host = this.#host;
    const at = (word: number): number => host.words[word] as number;
    const dropped: Record<string, number> = {};
    dropReasons.forEach((reason, index) => {
      const count = at(ClientWord.DropBase + index);
      if (count > 0) dropped[reason] = count;
    });
    return {
      outstanding: host.outstanding,
      queued: host.queued,
      requestsSent: at(ClientWord.RequestsSent),
      retransmissions: at(ClientWord.Retransmissions),
      completions: at(ClientWord.Completions),
      mismatches: at(ClientWord.Mismatches),
      complaints: at(ClientWord.Complaints),
      committedReplies: at(ClientWord.CommittedReplies),
      resends: at(ClientWord.Resends),
      reads: at(ClientWord.Reads),
      readRetries: at(ClientWord.ReadRetries),
      readMismatches: at(ClientWord.ReadMismatches),
      readsLogged: at(ClientWord.ReadsLogged),
      rttUs: at(ClientWord.RttUs),
      retryUs: at(ClientWord.RetryUs),
      framesReceived: at(ClientWord.FramesReceived),
      framesSent: at(ClientWord.FramesSent),
      view: at(ClientWord.View),
      dropped,
    };
  }

  /** For demonstrations and tests: while on, every replica gets the requests in another order. */
  scramble(on: boolean): void {
    this.#host.engine.scramble(on);
  }

  /** Whether an open client keeps the process alive; it does unless unref was called. */
  ref(): void {
    if (!this.closed) this.#host.engine.ref();
  }
  unref(): void {
    if (!this.closed) this.#host.engine.unref();
  }

  /** Ends the session: rejects operations under way (CLOSED, outcome unknown) and waiting ones (not executed). Idempotent. */
  close(): void {
    if (this.#host.closed) return;
    this.#names?.stop();
    this.#host.close();
    this.#lease.release();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
  }

  #invokeWithOptions(operation: Uint8Array, options: InvokeOptions): Promise<Buffer> {
    return new Promise<Buffer>((resolve, reject) => {
      checkInvocation("invoke", operation, options, invokeOptionNames);
      const cancellation = options.signal === undefined && options.deadlineMs === undefined ? undefined : new InvokeCancellation(reject);
      this.#host.submitPromise(operation, resolve, reject, cancellation);
      cancellation?.watch(options.signal, options.deadlineMs);
    });
  }

  #readWithOptions(operation: Uint8Array, options: ReadOptions): Promise<Buffer> {
    return new Promise<Buffer>((resolve, reject) => {
      checkInvocation("read", operation, options, readOptionNames);
      const name = options.consistency ?? "linearizable";
      if (!Object.hasOwn(consistencies, name)) {
        const suggestion = suggestName(String(name), Object.keys(consistencies));
        throw new SquallError("INVALID_OPTION", `There is no consistency ${describeValue(name)}. ${suggestion}`, {
          outcome: "not-executed",
        });
      }
      const cancellation = options.signal === undefined && options.deadlineMs === undefined ? undefined : new InvokeCancellation(reject);
      this.#host.submitReadPromise(operation, consistencies[name], resolve, reject, cancellation);
      cancellation?.watch(options.signal, options.deadlineMs);
    });
  }

  /** Resolves when a session is registered; rejects with the reason that the engine's counters tell. */
  [ready](deadlineMs: number, signal: AbortSignal | undefined): Promise<void> {
    return new Promise<void>((resolve, reject) => {
      const finish = (settle: () => void): void => {
        clearTimeout(timer);
        signal?.removeEventListener("abort", onAbort);
        this.#onState = undefined;
        settle();
      };
      const onAbort = (): void => finish(() => reject(connectAborted(signal)));
      const timer = setTimeout(() => finish(() => reject(this.#connectError(deadlineMs))), deadlineMs);
      signal?.addEventListener("abort", onAbort, { once: true });
      this.#onState = (state) => {
        if (state === ClientState.Ready) finish(resolve);
        else if (state === ClientState.Evicted)
          finish(() =>
            reject(
              new SquallError(
                "SESSION_EVICTED",
                "The replicas refused the session: their log is full, or the session is unknown. See `squall status`.",
              ),
            ),
          );
      };
      this.#host.start();
    });
  }

  #connectError(deadlineMs: number): SquallError {
    const at = (word: number): number => this.#host.words[word] as number;
    const blank = at(ClientWord.Blank);
    const [code, reason]: [ErrorCode, string] =
      at(ClientWord.Welcomes) > blank
        ? ["CONNECT_TIMEOUT", `Replicas answer, but no session was registered: too few of them are NORMAL. ${whenNothingCompletes}`]
        : blank > 0
          ? ["NOT_BOOTSTRAPPED", "The replicas are there, but blank. Run `squall bootstrap` once."]
          : at(ClientWord.RejectVersion) > 0
            ? ["VERSION_MISMATCH", "The replicas speak another version of the protocol; install the same version of squall."]
            : at(ClientWord.RejectBadKey) > 0
              ? ["WRONG_KEY", "The replicas do not accept the key; it belongs to another secret, or the file was changed."]
              : at(ClientWord.RejectWrongGroup) > 0
                ? ["WRONG_CLUSTER", "Replicas of another cluster answer at these addresses; check the cluster id and the ports."]
                : at(ClientWord.FramesReceived) > 0
                  ? ["CONNECT_TIMEOUT", "What answers at these addresses can't be understood."]
                  : [
                      "NOBODY_THERE",
                      `Nobody answers at ${this.#cluster.replicas.map(({ ip, port }) => `${ip} port ${port}`).join(", ")}. Are the replicas running?`,
                    ];
    return new SquallError(code, `No connection within ${deadlineMs} ms. ${reason}`);
  }
}

/** Throws what is wrong with the arguments of invoke or read. */
function checkInvocation(name: string, operation: unknown, options: InvokeOptions, allowed: readonly string[]): void {
  checkOperation(operation);
  checkOptions(name, options, allowed);
  checkSignal(options.signal);
  if (options.deadlineMs !== undefined) checkInteger("deadlineMs", options.deadlineMs, 1, 2 ** 31 - 1);
  if (options.signal?.aborted === true) {
    throw new SquallError("ABORTED", "The operation was aborted before it was sent.", {
      outcome: "not-executed",
      cause: options.signal.reason,
    });
  }
}

function checkOperation(operation: unknown): void {
  if (operation instanceof Uint8Array) return;
  throw new SquallError("INVALID_OPTION", `An operation is a Uint8Array; this is ${describeValue(operation)}.`, {
    outcome: "not-executed",
  });
}
