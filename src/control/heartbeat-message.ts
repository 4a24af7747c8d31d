/** The body of HEARTBEAT (docs/wire-messages.md). */
import { Reader, Writer } from "./codec.js";
import { HashBytes } from "./messages.js";

/** Bits of HeartbeatMessage.flags. */
export const HeartbeatFlag = {
  /** The sender is NORMAL in `view`; else it reconciles for it. */
  Normal: 1,
  /** The sender hears a majority, itself included. A leader that doesn't can commit nothing. */
  Majority: 2,
  /** The sender's machine has failed: it takes part in the log, but executes and answers nothing. */
  Halted: 4,
} as const;

export interface HeartbeatMessage {
  view: number;
  incarnation: number;
  /** How late the sender's own timers come: a busy process is not a dead one. */
  loopDelayMs: number;
  committed: number;
  end: number;
  /** Entries at or below it are gone from the sender's log. */
  base: number;
  /** Seqno and digest of the sender's last checkpoint; seqno 0: none. */
  checkpoint: number;
  digest: Uint8Array;
  flags: number;
  /** The newest version of frames that the sender understands. */
  newestVersion: number;
}

const KnownFlags = HeartbeatFlag.Normal | HeartbeatFlag.Majority | HeartbeatFlag.Halted;

export function encodeHeartbeat(m: HeartbeatMessage): Uint8Array {
  return new Writer(56 + HashBytes)
    .u64(m.view)
    .u32(m.incarnation)
    .u32(m.loopDelayMs)
    .u64(m.committed)
    .u64(m.end)
    .u64(m.base)
    .u64(m.checkpoint)
    .bytes(m.digest)
    .u8(m.flags)
    .u8(m.newestVersion)
    .u16(0)
    .u32(0)
    .done();
}

export function decodeHeartbeat(body: Uint8Array): HeartbeatMessage | undefined {
  const r = new Reader(body);
  const view = r.u64();
  const incarnation = r.u32();
  const loopDelayMs = r.u32();
  const committed = r.u64();
  const end = r.u64();
  const base = r.u64();
  const checkpoint = r.u64();
  const digest = r.bytes(HashBytes);
  const flags = r.u8();
  const newestVersion = r.u8();
  r.zero(6);
  if (newestVersion === 0 || (flags & ~KnownFlags) !== 0 || committed > end || base > committed || checkpoint > committed) r.ok = false;
  return r.finish({ view, incarnation, loopDelayMs, committed, end, base, checkpoint, digest, flags, newestVersion });
}
