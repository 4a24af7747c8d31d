/**
 * NEW-LIFE: an operator's order to go on after a disaster, when more than f replicas have lost their memory. The replica that is chosen
 * begins another life of the group with its own state, in a configuration in which all others join. Frames are sealed under the life's id:
 * whoever is left of the former life is not heard.
 */
import { type Configuration, checkedConfiguration } from "./membership.js";

const HexId = /^[0-9a-f]{32}$/;
const HexHash = /^[0-9a-f]{64}$/;
const LargestBytes = 16_384;

export interface NewLifeMessage {
  /** Life ids in hexadecimal. */
  formerLife: string;
  life: string;
  /** One member has `from`, its index in the former life; the others have boot ids, zeros where nobody is there to join. */
  configuration: Configuration;
  /** For those who join and have a memory of the former life: the entry with which the new one began. */
  end?: { seqno: number; hash: string };
  /**
   * The process that is meant, and how long it may have run when it takes the order: one that was recorded and comes again later, when the group
   * happens to be cut, must not begin a life.
   */
  bootId: string;
  untilUptimeMs: number;
}

export function encodeNewLife(message: NewLifeMessage): Uint8Array {
  return Buffer.from(JSON.stringify(message));
}

/** undefined for anything that is not one well-formed order. */
export function decodeNewLife(body: Uint8Array): NewLifeMessage | undefined {
  if (body.length > LargestBytes) return undefined;
  try {
    const { formerLife, life, configuration, end, bootId, untilUptimeMs } = JSON.parse(
      Buffer.from(body.buffer, body.byteOffset, body.length).toString("utf8"),
    );
    const checked = checkedConfiguration(configuration);
    if (!checked || !HexId.test(formerLife) || !HexId.test(life) || life === formerLife) return undefined;
    if (checked.members.filter(({ from }) => from !== undefined).length !== 1) return undefined;
    if (!HexId.test(bootId) || !Number.isFinite(untilUptimeMs)) return undefined;
    const order = { formerLife, life, configuration: checked, bootId, untilUptimeMs };
    if (end === undefined) return order;
    if (!Number.isSafeInteger(end.seqno) || end.seqno < 0 || !HexHash.test(end.hash)) return undefined;
    return { ...order, end: { seqno: end.seqno, hash: end.hash } };
  } catch {
    return undefined;
  }
}
