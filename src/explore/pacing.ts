/**
 * What of a control plane's state is no state to the explorer: times, and what only paces. A replica may be as slow as it likes, so what
 * waits for a time may happen at any moment after it was due, and nothing is ever too early to be sent again: the clock stands still but
 * while a time-out is tried, rate limits have always passed, and what is armed is armed as if it had been just now.
 */

import { Guard } from "../data/binding.js";

/** The instant at which everything happens. The native engine's clock shows the same. */
export const NowUs = 1_000_000_000;
/** What is repeated after a while (SYNC, resends, a merge that waited for more replicas) is due by then ... */
export const SoonUs = NowUs + 10_000;
/** ... and this is when views are given up. */
export const LateUs = NowUs + 1_000_000;
const GiveUpUs = NowUs + 100_000;
const NeverDueUs = NowUs + 1e15;

const LongAgo = Number.NEGATIVE_INFINITY;

/** In the order of the clock: ages of what is known to be so. */
const times: Readonly<Record<string, number>> = {
  giveUpUs: GiveUpUs,
  // Without a stall there is nothing to forgive.
  ranUs: NeverDueUs,
  // HEARTBEATs and what is decided by measurement are left out.
  sendUs: NeverDueUs,
  policyUs: NeverDueUs,
  earliestReturnUs: NeverDueUs,
  recoveredUs: LongAgo,
  requestUs: LongAgo,
  sentUs: LongAgo,
  returnedUs: LongAgo,
  // Periods and costs.
  periodUs: 1_000,
  intervalUs: 0,
  probeIntervalUs: 2_000,
  queryPeriodUs: 20_000,
  meanCostUs: 8_000,
  backoffUs: 500_000,
  costUs: 0,
  loopDelayUs: 0,
  delayUs: 0,
};

/** A time as the explorer keeps it: armed or not, and of what kind. */
export function abstractTime(field: string, value: number): number {
  const fixed = times[field];
  if (fixed !== undefined && (value !== Number.POSITIVE_INFINITY || fixed < NowUs)) return fixed;
  return Number.isFinite(value) ? NowUs : value;
}

/** What a field is kept as, given what it holds and the object that it is of. */
type Kept = (value: unknown, object: Readonly<Record<string, unknown>>) => unknown;

const always =
  (kept: unknown): Kept =>
  () =>
    kept;

/** What replicas are known to share with the leader of a view counts above what is committed only. */
function unconfirmed(value: unknown, { context }: Readonly<Record<string, unknown>>): number[] {
  const { data, replica } = context as { data: { committed: number }; replica: number };
  return (value as number[]).map((seqno, r) => (r === replica ? 0 : Math.max(seqno, data.committed)));
}

/** What a recovering replica takes from the answers, until it knows its incarnation. */
function namesAndIncarnations(value: unknown, { known }: Readonly<Record<string, unknown>>): unknown {
  if (known) return new Map();
  const answers = value as Map<number, { lifeId: Uint8Array; incarnation: number }>;
  return new Map([...answers].map(([replica, { lifeId, incarnation }]) => [replica, { lifeId, incarnation }]));
}

type Guarded = { guard(bit: number): boolean };

/** A group whose logs are short has nothing to fetch ahead of the START-VIEW, but in the naive recovery of test builds. */
function unlessNaive(kept: unknown): Kept {
  return (value, { context }) => ((context as Guarded).guard(Guard.RecoverySilence) ? kept : value);
}

/** That one who is NORMAL answered is all that counts. */
function somebody(value: unknown, object: Readonly<Record<string, unknown>>): unknown {
  return (value as number) < 0 ? value : unlessNaive(0)(value, object);
}

/** Counters of tries, caches, texts for operators, and what no later decision asks for: by class and field. */
export const kept: Readonly<Record<string, Readonly<Record<string, Kept>>>> = {
  // Of these only the next round's leader asks, which is beyond the views that are searched.
  Views: { failedViews: always(0), lastReason: always(""), givenUp: always(new Map()) },
  Reconciliation: { resends: always(0), leaderHasIt: always(false) },
  Sync: { mark: always(0), reach: always([]) },
  // A SYNC or COMMIT that is ahead of the log can come again when the log is there.
  SyncFollower: { awaited: always([]) },
  SyncLeader: { matched: unconfirmed, syncedTo: always(0), uncoveredUs: always(NowUs), probeUs: always(NowUs) },
  ViewStarts: { body: always(undefined), bodyBase: always(0) },
  // Once the incarnation is known nobody asks for the answers.
  Recovery: { told: always(""), queryUs: always(NowUs), answers: namesAndIncarnations },
  Prefetch: { gaveUp: always(false), lag: always(0), lagUs: always(0), source: somebody, committed: unlessNaive(0) },
  ModePolicy: { diverged: always(false) },
  // What is decided by measurement is left out.
  ReconciliationCost: {
    past: always([]),
    meanUs: always(0),
    rate: always(0),
    calm: always(undefined),
    left: always(undefined),
    settling: always(undefined),
  },
  FetchedRecords: { records: always(new Map()), bytes: always(0) },
  FetchWindow: { size: always(1), recordsPerReply: always(4096), timeoutUs: always(0), unanswered: always(0) },
};

/** Left as they are: constants, what needs checkpoints, complaints or measurement to come to life. */
export const ignored: Readonly<Record<string, readonly string[]>> = {
  Checkpoints: ["digests", "leases", "newestTaken", "previous", "truncateTo", "warnedSeqno"],
  Complaints: ["buckets", "refillUs"],
  Pace: ["burst", "factor", "asked", "outstanding", "beganUs", "restUntilUs"],
  ModePolicy: ["configured", "superquorum", "tuning", "cost", "samples", "counters"],
};

/**
 * Knowledge that only adds up towards a quorum, in classes and groups of fields. Whoever has more of it can do all that it could have done
 * with less: the explorer lets it be had at once.
 */
export const gathered: Readonly<Record<string, readonly string[]>> = {
  SyncLeader: ["matched"],
  Announcer: ["inView", "resendUs"],
  Reconciliation: ["heard"],
};

/** In a group that has no LEADER views these have no part. */
export const ofLeaderViews = ["ModePolicy", "LeaderView"];

/** Of these classes nothing but the fields named here changes. */
export const changing: Readonly<Record<string, readonly string[]>> = {
  Context: ["incarnation", "vector", "known", "bootId"],
};

/** Within other objects: how often the source of an installation was asked, and who is asked when it has been asked in vain for long. */
export const pinnedAnywhere: Readonly<Record<string, unknown>> = { unanswered: 0, triedBoth: false, spare: 0 };

/** In a view, what an earlier reconciliation left behind; outside of one, what the last view did: both begin anew. By class, or class and field. */
export const idleInView: readonly string[] = ["Reconciliation", "Reconciliation.heard", "Recovery", "Prefetch"];
export const idleBetweenViews: readonly string[] = [
  "Sync",
  "SyncLeader",
  "SyncLeader.matched",
  "SyncFollower",
  "Announcer",
  "Announcer.inView",
  "ViewStarts",
  "Recovery",
  "Prefetch",
];
