import { describe, expect, it } from "vitest";
import { ControlPlane } from "../../src/control/control-plane.js";
import { decodeHeartbeat, encodeHeartbeat } from "../../src/control/heartbeat-message.js";
import * as messages from "../../src/control/messages.js";
import {
  decodeRecoveryAnswer,
  decodeRecoveryQuery,
  encodeRecoveryAnswer,
  encodeRecoveryQuery,
} from "../../src/control/recovery-messages.js";
import {
  decodeEpochEnvelope,
  decodeFetchSnapshot,
  decodeSnapshotChunk,
  encodeEpochEnvelope,
  encodeFetchSnapshot,
  encodeSnapshotChunk,
} from "../../src/control/snapshot-messages.js";
import { MessageType } from "../../src/data/binding.js";
import { Prng } from "../../src/sim/prng.js";
import { FakeDataPlane } from "./fake-data-plane.js";
import { timing } from "./group.js";

const hash = new Uint8Array(32).map((_, i) => i + 1);
const large = 2 ** 53 - 1;
const rows = new Uint8Array(96).map((_, i) => i);

const heartbeat = {
  view: 9,
  incarnation: 2,
  loopDelayMs: 3,
  committed: 10,
  end: 12,
  base: 4,
  checkpoint: 8,
  digest: hash,
  flags: 3,
  newestVersion: 1,
};
const answer = {
  bootId: hash.slice(0, 16),
  lifeId: hash.slice(16),
  epoch: 2,
  view: 9,
  status: 1,
  mode: 1,
  incarnation: 4,
  committed: 10,
  committedHash: hash,
  end: 12,
  base: 4,
  checkpoint: 8,
};
const chunk = {
  view: 9,
  seqno: 8,
  position: new Uint8Array(48).map((_, i) => i),
  digest: hash,
  machineBytes: 1000,
  sessionBytes: 30,
  offset: 900,
  bytes: rows,
};

const samples: { name: string; body: Uint8Array; decode: (body: Uint8Array) => unknown; message: unknown; lent?: string | undefined }[] = [
  sample("SYNC", { view: 3, seqno: large }, messages.encodeSync, messages.decodeSync),
  sample("SYNC-REPLY, COMMIT, IN-VIEW", { view: large, seqno: 7, hash }, messages.encodePosition, messages.decodePosition),
  sample(
    "START-RECONCILIATION",
    { view: 2 ** 40, incarnation: 5, recovering: true, vector: [1, 5, 2] },
    messages.encodeStartReconciliation,
    messages.decodeStartReconciliation,
  ),
  sample(
    "RECONCILE",
    {
      view: 9,
      lastNormalView: 8,
      mode: 1,
      incarnation: 2,
      base: 9,
      committed: 10,
      committedHash: hash,
      accepted: 10,
      end: 40,
      vector: [1, 2, 3],
      rows,
    },
    messages.encodeReconcile,
    messages.decodeReconcile,
  ),
  sample(
    "START-VIEW",
    {
      view: 9,
      mode: 0,
      mask: 5,
      logBase: 7,
      base: 10,
      baseHash: hash,
      end: 12,
      endHash: hash,
      minVector: [1, 1, 1],
      maxVector: [1, 2, 1],
      rows,
    },
    messages.encodeStartView,
    messages.decodeStartView,
  ),
  sample("START-VIEW-REQUEST", 12, messages.encodeStartViewRequest, messages.decodeStartViewRequest),
  sample(
    "FETCH",
    {
      view: 9,
      what: 1,
      ranges: [
        { from: 1, to: 3 },
        { from: 9, to: large },
      ],
    },
    messages.encodeFetch,
    messages.decodeFetch,
  ),
  sample("FETCH-REPLY with rows", { view: 9, what: 0, from: 4, rows }, messages.encodeFetchReply as never, messages.decodeFetchReply),
  sample(
    "FETCH-REPLY with records",
    {
      view: 9,
      what: 1,
      records: [
        { seqno: 4, record: hash },
        { seqno: 6, record: new Uint8Array(0) },
      ],
    },
    messages.encodeFetchReply as never,
    messages.decodeFetchReply,
  ),
];

samples.push(
  sample("HEARTBEAT", heartbeat, encodeHeartbeat, decodeHeartbeat),
  sample("FETCH-SNAPSHOT", { seqno: 8, offset: large, length: 700 }, encodeFetchSnapshot, decodeFetchSnapshot),
  sample("RECOVERY-QUERY", { bootId: hash.slice(0, 16), epoch: 3 }, encodeRecoveryQuery, decodeRecoveryQuery),
  sample("RECOVERY-ANSWER", answer, encodeRecoveryAnswer, decodeRecoveryAnswer),
  sample("SNAPSHOT-CHUNK", chunk, encodeSnapshotChunk, decodeSnapshotChunk, "bytes"),
  sample(
    "FETCH-REPLY with committed entries",
    { view: 9, what: 2, from: 4, committed: 10, run: rows },
    messages.encodeFetchReply as never,
    messages.decodeFetchReply,
    "run",
  ),
);

/** `lent`: the field that is of the frame itself, and no copy. */
function sample<T>(name: string, message: T, encode: (message: T) => Uint8Array, decode: (body: Uint8Array) => unknown, lent?: string) {
  return { name, message, body: encode(message), decode, lent };
}

describe.each(samples)("$name", ({ body, decode, message, lent: field }) => {
  it("survives a round trip", () => {
    expect(decode(new Uint8Array(body))).toEqual(message);
  });

  it("keeps nothing of the bytes it was decoded from", () => {
    const lent = Buffer.from(body);
    const decoded = decode(lent);
    lent.fill(0xff);
    if (field === undefined) expect(decoded).toEqual(message);
    else expect({ ...(decoded as object), [field]: undefined }).toEqual({ ...(message as object), [field]: undefined });
  });

  it("is refused when cut short or followed by more", () => {
    for (let length = 0; length < body.length; length++) expect(decode(body.subarray(0, length))).toBeUndefined();
    expect(decode(Buffer.concat([body, Buffer.alloc(1)]))).toBeUndefined();
  });
});

describe("well-formed bytes with impossible contents", () => {
  it("refuses a number above 2^53", () => {
    expect(messages.decodeSync(Buffer.alloc(16, 0xff))).toBeUndefined();
  });

  it("refuses a RECONCILE whose last normal view is not below its view", () => {
    const message = {
      view: 4,
      lastNormalView: 4,
      mode: 0,
      incarnation: 1,
      base: 0,
      committed: 0,
      committedHash: hash,
      accepted: 0,
      end: 0,
      vector: [1],
      rows: new Uint8Array(0),
    };
    expect(messages.decodeReconcile(messages.encodeReconcile(message))).toBeUndefined();
    expect(messages.decodeReconcile(messages.encodeReconcile({ ...message, lastNormalView: 3, committed: 1 }))).toBeUndefined();
    const based = { ...message, lastNormalView: 3, committed: 5, accepted: 5, end: 5 };
    expect(messages.decodeReconcile(messages.encodeReconcile({ ...based, base: 5 }))).toBeDefined();
    expect(messages.decodeReconcile(messages.encodeReconcile({ ...based, base: 6 }))).toBeUndefined();
  });

  it("refuses a HEARTBEAT that contradicts itself", () => {
    for (const wrong of [{ committed: 13 }, { base: 11 }, { checkpoint: 11 }, { flags: 8 }]) {
      expect(decodeHeartbeat(encodeHeartbeat({ ...heartbeat, ...wrong }))).toBeUndefined();
    }
  });

  it("refuses a RECOVERY-ANSWER of one that recovers itself", () => {
    for (const wrong of [{ status: 0 }, { status: 3 }, { committed: 13 }, { base: 11 }, { checkpoint: 11 }, { mode: 3 }]) {
      expect(decodeRecoveryAnswer(encodeRecoveryAnswer({ ...answer, ...wrong }))).toBeUndefined();
    }
  });

  it("refuses a SNAPSHOT-CHUNK beyond its snapshot, and a FETCH-SNAPSHOT for nothing", () => {
    expect(decodeSnapshotChunk(encodeSnapshotChunk({ ...chunk, offset: 1000 }))).toBeUndefined();
    expect(decodeFetchSnapshot(encodeFetchSnapshot({ seqno: 1, offset: 0, length: 0 }))).toBeUndefined();
    const envelope = { life: "ab".repeat(16), epoch: 7, replica: 2 };
    const carried = encodeEpochEnvelope(envelope, hash);
    expect(decodeEpochEnvelope(carried)).toEqual({ ...envelope, body: Buffer.from(hash) });
    for (let length = 0; length < carried.length - hash.length; length++)
      expect(decodeEpochEnvelope(carried.subarray(0, length)), `${length} bytes`).toBeUndefined();
  });

  it("refuses more rows than the log has entries", () => {
    const start = {
      view: 4,
      mode: 0,
      mask: 1,
      logBase: 0,
      base: 5,
      baseHash: hash,
      end: 6,
      endHash: hash,
      minVector: [1],
      maxVector: [1],
      rows,
    };
    expect(messages.decodeStartView(messages.encodeStartView(start))).toBeUndefined();
  });
});

describe("a control plane fed garbage", () => {
  it("never throws and says that it was garbage", () => {
    const prng = new Prng(7, "garbage");
    const data = new FakeDataPlane();
    const plane = new ControlPlane({ replica: 1, n: 3, timing }, data);
    for (let i = 0; i < 20_000; i++) {
      const { body } = samples[prng.u32() % samples.length] as { body: Uint8Array };
      const bytes = Buffer.from(body.subarray(0, prng.u32() % (body.length + 1)));
      for (let flips = prng.u32() % 4; flips > 0 && bytes.length > 0; flips--) bytes[prng.u32() % bytes.length] = prng.u32() % 256;
      plane.onFrame(i, prng.u32() % 4, 30 + (prng.u32() % 28), bytes);
      if (i % 50 === 0) plane.onTimer(i);
    }
    expect(plane.onFrame(0, 0, MessageType.Sync, Buffer.alloc(15))).toBe(data.failures.length > 0);
  });

  it("refuses unknown types, unknown senders and messages to the wrong role", () => {
    const plane = new ControlPlane({ replica: 1, n: 3, timing }, new FakeDataPlane());
    const sync = messages.encodeSync({ view: 0, seqno: 0 });
    const position = messages.encodePosition({ view: 0, seqno: 0, hash });
    expect(plane.onFrame(0, 0, 99, sync)).toBe(false);
    expect(plane.onFrame(0, 0, MessageType.Fault, sync)).toBe(false);
    expect(plane.onFrame(0, 3, MessageType.Sync, sync)).toBe(false);
    expect(plane.onFrame(0, 1, MessageType.Sync, sync)).toBe(false);
    expect(plane.onFrame(0, 2, MessageType.Sync, sync)).toBe(false); // only the leader of the view sends it
    expect(plane.onFrame(0, 0, MessageType.Sync, sync)).toBe(true);
    expect(plane.onFrame(0, 0, MessageType.SyncReply, position)).toBe(false); // and only the leader gets these
    expect(plane.onFrame(0, 0, MessageType.InView, position)).toBe(false);
    expect(plane.onFrame(0, 2, MessageType.Commit, position)).toBe(false);
  });
});
