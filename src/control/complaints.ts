/** Clients' complaints, limited per session: a token bucket each, in a bounded map, so that no client makes the group thrash. */

const BurstComplaints = 4;
const MaxSessions = 1024;

interface Bucket {
  tokens: number;
  filledUs: number;
}

export class Complaints {
  private readonly buckets = new Map<number, Bucket>();
  private readonly refillUs: number;

  /** One complaint per session and `refillUs` passes in the long run. */
  constructor(refillUs: number) {
    this.refillUs = Math.max(1, refillUs);
  }

  /** Whether this session's complaint is to be acted on. */
  allow(nowUs: number, session: number): boolean {
    const bucket = this.buckets.get(session) ?? { tokens: BurstComplaints, filledUs: nowUs };
    const refill = Math.max(0, nowUs - bucket.filledUs) / this.refillUs;
    bucket.tokens = Math.min(BurstComplaints, bucket.tokens + refill);
    bucket.filledUs = nowUs;
    // Re-inserted behind the others: the session that was quiet for longest is forgotten first.
    this.buckets.delete(session);
    this.buckets.set(session, bucket);
    if (this.buckets.size > MaxSessions) this.buckets.delete(this.buckets.keys().next().value as number);
    if (bucket.tokens < 1) return false;
    bucket.tokens--;
    return true;
  }
}
