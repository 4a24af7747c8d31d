/** What the clients of a run do: which operations, when, and how many at a time. All drawn from the seed. */
import { type History, Kind } from "./history.js";
import { ADVERSARY_OBJECT, encodeOperation, OPERATION_BYTES, type Operation, SHARED_OBJECTS } from "./operation.js";
import type { Prng } from "./prng.js";

export type Misbehaviour = "none" | "reuse" | "equivocate";

/** One client as the seed drew it. */
export interface ClientPlan {
  index: number;
  outstanding: number;
  ordered: boolean;
  misbehave: Misbehaviour;
  /** Virtual time at which it goes away without a word, its operations' outcomes unknown. */
  crashAtUs: number | undefined;
  /** When operations become due, and how many: pairs in order of time. */
  bursts: { atUs: number; operations: number }[];
}

export interface WorkloadOptions {
  prng: Prng;
  clients: number;
  operations: number;
  /** Adversarial clients have one operation in so many; 0: there are none. */
  adversaryOneIn: number;
  startUs: number;
  chaosUs: number;
  /** The client that may crash needs others that go on. */
  crashes: boolean;
  window: number;
}

/** Plans the well-behaved clients, who share `operations`, and up to two adversaries with a few operations more. */
export function planClients(options: WorkloadOptions): ClientPlan[] {
  const { prng, clients, operations, startUs, chaosUs } = options;
  const plans: ClientPlan[] = [];
  for (let index = 0; index < clients; index++) {
    const outstanding = index === 0 ? 1 : Math.min(options.window, prng.pick([1, 4, 8, 16, 32]));
    plans.push({ index, outstanding, ordered: prng.chance(0.3), misbehave: "none", crashAtUs: undefined, bursts: [] });
  }
  const crashed = options.crashes && clients > 2 && prng.chance(0.4) ? clients - 1 : -1;
  if (crashed >= 0) plans[crashed]!.crashAtUs = startUs + Math.floor(chaosUs * (0.3 + 0.6 * prng.unit()));
  // A coarse grid makes several clients send at one instant, so that replicas see their requests in different orders.
  const gridUs = prng.pick([1, 1, 100, 500]);
  for (let left = operations; left > 0; ) {
    const plan = prng.pick(plans);
    const burst = Math.min(left, prng.between(Math.ceil(plan.outstanding / 2), plan.outstanding));
    const offsetUs = Math.floor((prng.unit() * chaosUs) / gridUs) * gridUs;
    plan.bursts.push({ atUs: startUs + offsetUs, operations: burst });
    left -= burst;
  }
  if (options.adversaryOneIn > 0) {
    const misbehaviours = prng.shuffle<Misbehaviour>(["reuse", "equivocate"]).slice(0, prng.between(1, 2));
    for (const misbehave of misbehaviours) {
      const plan: ClientPlan = {
        index: plans.length,
        outstanding: prng.between(1, 4),
        ordered: false,
        misbehave,
        crashAtUs: undefined,
        bursts: [],
      };
      for (let i = 0; i < Math.ceil(operations / options.adversaryOneIn); i++)
        plan.bursts.push({ atUs: startUs + prng.below(chaosUs), operations: 1 });
      plans.push(plan);
    }
  }
  for (const plan of plans) plan.bursts.sort((a, b) => a.atUs - b.atUs);
  return plans;
}

/** Draws one client's operations. */
export class OperationSource {
  private readonly lastSeen = new Int32Array(SHARED_OBJECTS + 1);
  private readonly operation: Operation = { kind: Kind.Read, object: 0, client: 0, id: 0, argument: 0, expected: 0 };
  private readonly small = Buffer.alloc(OPERATION_BYTES);
  private readonly large: Buffer;
  /** The operation drawn last. */
  bytes: Buffer = this.small;

  /** `largeBytes`: the size of the few operations that need several frames. */
  constructor(
    private readonly prng: Prng,
    private readonly client: number,
    private readonly adversarial: boolean,
    largeBytes: number,
    /** The first operation from this index on that ignores its expected value gets another one: a test's changed byte. */
    private changedOperation = Infinity,
  ) {
    this.large = Buffer.alloc(largeBytes);
  }

  /** The next operation, recorded in `history` as invoked at `at`; its bytes are valid until the next call. Returns its index. */
  next(history: History, at: number, idOffset: number): number {
    const { operation, prng } = this;
    const kind = (1 + prng.below(6)) as Kind;
    const object = this.adversarial ? ADVERSARY_OBJECT : prng.below(SHARED_OBJECTS);
    const id = history.count + idOffset;
    operation.kind = kind;
    operation.object = object;
    operation.client = this.client;
    operation.id = id;
    operation.argument = kind === Kind.Add ? 1 + (id % 7) : id;
    operation.expected = this.lastSeen[object]!;
    if (history.count >= this.changedOperation && kind !== Kind.CompareAndSet) {
      operation.expected ^= 1;
      this.changedOperation = Infinity;
    }
    this.bytes = prng.u32() < LARGE_SHARE ? this.large : this.small;
    encodeOperation(this.bytes, operation);
    return history.invoke(this.client, kind, object, operation.argument, operation.expected, at);
  }

  /** A result to this client: later compare-and-sets expect what was read last. */
  learn(history: History, index: number): void {
    const kind = history.kind[index];
    if (kind === Kind.Read) this.lastSeen[history.object[index]!] = history.result[index]!;
    else if (kind === Kind.Write) this.lastSeen[history.object[index]!] = history.argument[index]!;
  }
}

/** Of 2^32: one operation in 256 is large. */
const LARGE_SHARE = 2 ** 24;
