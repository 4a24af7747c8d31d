/** Answers FETCH: rows or records of the own log, as many as one message holds. Whoever asked verifies them by their hashes. */
import { MessageType, ReplicaStatus } from "../data/binding.js";
import type { Context } from "./context.js";
import { encodeFetchReply, type FetchedRecord, type FetchMessage, type FetchRange, FetchWhat } from "./messages.js";
import { messageRoom, runRoom } from "./send-room.js";

/**
 * Within its view a log stands still (RECONCILIATION) or only grows (NORMAL), so every part of it may be handed out there;
 * in any other view only what is committed.
 */
export function answerFetch(context: Context, from: number, message: FetchMessage): void {
  const { data } = context;
  const end = message.view === data.view && data.status !== ReplicaStatus.Recovery ? data.logEnd : data.committed;
  const { view, what } = message;
  if (what === FetchWhat.Rows) {
    const range = message.ranges[0] as FetchRange;
    const to = Math.min(range.to, end, range.from + context.maxRows - 1);
    if (to < range.from || range.from <= data.logBase) return;
    const rows = data.suffixRows(range.from, to);
    context.send(from, MessageType.FetchReply, encodeFetchReply({ view, what: FetchWhat.Rows, from: range.from, rows }));
    return;
  }
  if (what === FetchWhat.Committed) {
    const { from: first, to } = message.ranges[0] as FetchRange;
    if (first <= data.logBase || first > data.committed) return;
    // A range of one entry names none but the first: the release that asks for a message at a time asks so.
    const run = data.committedRun(first, to === first ? data.committed : to, context.messageBytes, runRoom);
    const reply = { view: data.view, what, from: first, committed: data.committed, run } as const;
    context.send(from, MessageType.FetchReply, encodeFetchReply(reply, messageRoom));
    return;
  }
  const records = collect(context, message.ranges, end);
  if (records.length > 0) context.send(from, MessageType.FetchReply, encodeFetchReply({ view, what: FetchWhat.Records, records }));
}

function collect(context: Context, ranges: readonly FetchRange[], end: number): FetchedRecord[] {
  const records: FetchedRecord[] = [];
  let bytes = 0;
  for (const range of ranges) {
    // Whoever asks for what is forgotten finds out that nothing comes.
    if (range.from <= context.data.logBase) continue;
    for (let seqno = range.from; seqno <= Math.min(range.to, end); seqno++) {
      const record = context.data.record(seqno);
      bytes += record.length + 12;
      if (records.length > 0 && bytes > context.messageBytes) return records;
      records.push({ seqno, record });
    }
  }
  return records;
}
