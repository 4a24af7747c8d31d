/** Bodies of RECOVERY-QUERY and RECOVERY-ANSWER (docs/wire-messages.md). */
import { Mode } from "../data/binding.js";
import { Reader, Writer } from "./codec.js";
import { HashBytes } from "./messages.js";

export const BootIdBytes = 16;
export const LifeIdBytes = 16;

/**
 * RECOVERY-QUERY holds the boot id of the process that asks, random and new at each start, so that answers to it are fresh; and its epoch,
 * for in another one its index is another machine's.
 */
export function encodeRecoveryQuery({ bootId, epoch }: { bootId: Uint8Array; epoch: number }): Uint8Array {
  return new Writer(BootIdBytes + 4).bytes(bootId).u32(epoch).done();
}

export function decodeRecoveryQuery(body: Uint8Array): { bootId: Uint8Array; epoch: number } | undefined {
  const r = new Reader(body);
  return r.finish({ bootId: r.bytes(BootIdBytes), epoch: r.u32() });
}

export interface RecoveryAnswerMessage {
  /** Of the query. */
  bootId: Uint8Array;
  lifeId: Uint8Array;
  epoch: number;
  view: number;
  status: number;
  mode: number;
  /** The highest incarnation of the asking replica that the sender knows of. */
  incarnation: number;
  committed: number;
  committedHash: Uint8Array;
  end: number;
  base: number;
  /** Seqno of the sender's newest snapshot; 0: none. */
  checkpoint: number;
}

export function encodeRecoveryAnswer(m: RecoveryAnswerMessage): Uint8Array {
  return new Writer(BootIdBytes + LifeIdBytes + HashBytes + 52)
    .bytes(m.bootId)
    .bytes(m.lifeId)
    .u32(m.epoch)
    .u64(m.view)
    .u8(m.status)
    .u8(m.mode)
    .u16(0)
    .u32(m.incarnation)
    .u64(m.committed)
    .bytes(m.committedHash)
    .u64(m.end)
    .u64(m.base)
    .u64(m.checkpoint)
    .done();
}

export function decodeRecoveryAnswer(body: Uint8Array): RecoveryAnswerMessage | undefined {
  const r = new Reader(body);
  const bootId = r.bytes(BootIdBytes);
  const lifeId = r.bytes(LifeIdBytes);
  const epoch = r.u32();
  const view = r.u64();
  const status = r.u8();
  const mode = r.u8();
  r.zero(2);
  const incarnation = r.u32();
  const committed = r.u64();
  const committedHash = r.bytes(HashBytes);
  const end = r.u64();
  const base = r.u64();
  const checkpoint = r.u64();
  if (status < 1 || status > 2 || mode > Mode.Fast || committed > end || base > committed || checkpoint > committed) r.ok = false;
  return r.finish({ bootId, lifeId, epoch, view, status, mode, incarnation, committed, committedHash, end, base, checkpoint });
}
