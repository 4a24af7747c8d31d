/** The state record of a replica's data directory: what it must not have forgotten when it comes back. */
const Version = 1;

export interface StoredState {
  /** The life, in hexadecimal. */
  life: string;
  /** Index of the replica in its epoch. */
  id: number;
  /** False: the replica was recovering a lost memory, and takes no part before that is done. */
  takesPart: boolean;
  /** Nothing was promised before it was here: written under durability "sync". */
  lasts: boolean;
  view: number;
  lastNormalView: number; // v_l
  /** Mode of v_l. */
  mode: number;
  /** Entries up to here were committed when this was written; more may be. */
  committed: number;
  /** If v_l is a FAST view: the log is its leader's up to here. 0 elsewhere, and at the leader, where all of the log is. */
  accepted: number;
  incarnation: number;
  /** The crash vector. */
  vector: readonly number[];
  epoch: StoredEpoch | undefined;
}

/** How the present epoch came to be; none in epoch 0. */
export interface StoredEpoch {
  epoch: number;
  /** The configuration (control/membership.ts), in hexadecimal. */
  configuration: string;
  /** The entry with which the epoch before ended, and its summary hash in hexadecimal. */
  end: { seqno: number; hash: string };
  /** It still fetches the state that the epoch began with. */
  joining: boolean;
}

/** Of `log`, the log's end on disk: up to where it is that of v_l's leader, as far as that matters. */
export function acceptedOf(state: StoredState, end: number): number {
  return leadsLast(state) ? end : Math.min(end, Math.max(state.accepted, state.committed));
}

/** Whether the replica leads v_l. The crash vector has a place for each replica. */
export function leadsLast({ id, lastNormalView, vector }: Pick<StoredState, "id" | "lastNormalView" | "vector">): boolean {
  return lastNormalView % vector.length === id;
}

export function encodeState(state: StoredState): Uint8Array {
  return Buffer.from(JSON.stringify({ version: Version, ...state }));
}

/** undefined: malformed, or of another release's form. */
export function decodeState(bytes: Uint8Array): StoredState | undefined {
  try {
    const value = JSON.parse(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("utf8")) as StoredState & {
      version: number;
    };
    value.accepted ??= 0; // of a release that kept no FAST view
    const whole = (number: unknown): boolean => Number.isSafeInteger(number) && (number as number) >= 0;
    const numbers = [value.id, value.view, value.lastNormalView, value.mode, value.committed, value.accepted, value.incarnation];
    const fits =
      value.version === Version &&
      /^[0-9a-f]{32}$/.test(value.life) &&
      typeof value.takesPart === "boolean" &&
      typeof value.lasts === "boolean" &&
      numbers.every(whole) &&
      value.lastNormalView <= value.view &&
      Array.isArray(value.vector) &&
      value.vector.every(whole);
    return fits ? value : undefined;
  } catch {
    return undefined;
  }
}
