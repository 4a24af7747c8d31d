/** What a view started with: enough to make its START-VIEW again from any log that installed it, as far as entries are not forgotten. */
import { MessageType } from "../data/binding.js";
import type { Context } from "./context.js";
import { encodeStartView } from "./messages.js";

export interface ViewStart {
  readonly view: number;
  readonly mode: number;
  readonly mask: number;
  /** At or below every member's committed seqno. */
  readonly base: number;
  readonly baseHash: Uint8Array;
  /** Length of the log the view starts with, and its summary hash. */
  readonly end: number;
  readonly endHash: Uint8Array;
  readonly minVector: number[];
  readonly maxVector: number[];
}

/** Hands out the START-VIEW of the view this replica is NORMAL in. */
export class ViewStarts {
  private readonly context: Context;
  private newest: ViewStart | undefined;
  private body: Uint8Array | undefined;
  /** The log's base when body was made. */
  private bodyBase = 0;
  private installedUs = 0;
  private readonly sentUs: number[];

  constructor(context: Context) {
    this.context = context;
    this.sentUs = new Array(context.n).fill(Number.NEGATIVE_INFINITY);
  }

  /** undefined before the first reconciliation: view 0 starts with an empty log. */
  get current(): ViewStart | undefined {
    return this.newest;
  }

  installed(nowUs: number, start: ViewStart): void {
    this.newest = start;
    this.body = undefined;
    this.installedUs = nowUs;
  }

  sendToAll(nowUs: number): void {
    const body = this.encode();
    if (!body) return;
    this.sentUs.fill(nowUs);
    this.context.broadcast(MessageType.StartView, body);
  }

  /** Helps a replica that is behind, at most once per resend period. */
  sendTo(nowUs: number, to: number): void {
    const body = this.encode();
    if (!body || nowUs - (this.sentUs[to] as number) < this.context.resendUs) return;
    this.sentUs[to] = nowUs;
    this.context.send(to, MessageType.StartView, body);
  }

  /** Somebody still reconciles for a view that this replica is in, or past: the leader helps, the others if it seems to fail to. */
  help(nowUs: number, to: number, view: number): void {
    const { leads, data, resendUs } = this.context;
    if (leads || view < data.view || nowUs - this.installedUs > 3 * resendUs) this.sendTo(nowUs, to);
  }

  private encode(): Uint8Array | undefined {
    const start = this.newest;
    if (!start || start.view !== this.context.data.view) return undefined;
    const { data, maxRows } = this.context;
    if (!this.body || this.bodyBase !== data.logBase) {
      const { logBase } = data;
      const base = Math.max(start.base, Math.min(logBase, start.end));
      const known = base === start.base ? start.baseHash : base === start.end ? start.endHash : data.hashAt(base);
      const to = Math.min(start.end, base + maxRows);
      const rows = to > base ? data.suffixRows(base + 1, to) : new Uint8Array(0);
      this.body = encodeStartView({ ...start, logBase, base, baseHash: known, rows });
      this.bodyBase = logBase;
    }
    return this.body;
  }
}
