// From the log to the state machine and back to the clients: one upcall for a batch, one sealed frame per client for its replies.
#include <algorithm>

#include "protocol/guards.h"
#include "protocol/replica.h"

namespace squall::protocol {

using log::Entry;
using log::EntryKind;
using wire::ResultStatus;

namespace {
constexpr uint32_t kEagerResultBytes = 1024;   // from the second try on every replica sends results up to this size
}

/// Executes what the log has beyond executed_, in order. No-ops never reach the machine; they are answered in their place.
void Replica::executePending(bool reply) {
  if (executing_ || halted_) return;
  executing_ = true;
  reply &= mode_ == Mode::Speculative || leads_;   // the leader alone answers in its view
  while (executed_ < acceptedEnd() && !halted_ && !closed_) {
    // With checkpoints a truncation makes room sooner or later: the machine waits for it.
    if (config_.checkpointEvery && !log_.hasResultRoom(region_.resultBytes, region_.rowCapacity)) break;
    uint64_t end = executed_;
    const uint32_t rows = fillRows(executed_ + 1, acceptedEnd(), end);
    const uint32_t done = rows ? std::min(upcalls_.execute(rows), rows) : 0;
    if (closed_) break;
    size_t offset = 0;
    uint32_t row = 0;
    for (uint64_t seqno = executed_ + 1; seqno <= end; seqno++) {
      if (runsOnMachine(log_.at(seqno).kind)) {
        if (row == done) break;
        const ExecuteRow& answer = region_.rows[row++];
        const size_t length = std::min<size_t>(answer.resultBytes, region_.resultBytes - offset);
        const Bytes result{region_.results + offset, length};
        if (!log_.setResult(seqno, static_cast<ResultStatus>(answer.status), result)) { halted_ = true; break; }
        if (tracing_) { fabric_->trace(this, 'x', log_.record(seqno)); fabric_->trace(this, 'r', result); }
        offset += length;
      }
      executed_ = seqno;
      if (reply) replyTo(seqno, false, 0);
    }
    if (rows && done == 0) break;      // the machine stands still
  }
  executing_ = false;
}

/// Rows for the entries from `from` on, as many of them up to `to` as rows and arena hold; `last` is the last entry looked at.
uint32_t Replica::fillRows(uint64_t from, uint64_t to, uint64_t& last) {
  uint32_t rows = 0;
  size_t used = 0;
  uint64_t seqno = from;
  for (; seqno <= to && rows < region_.rowCapacity; seqno++) {
    const Entry& e = log_.at(seqno);
    if (!runsOnMachine(e.kind)) continue;
    const Bytes operation = log_.operation(seqno);
    if (used + operation.size() > region_.arenaBytes) break;
    if (!operation.empty()) std::memcpy(region_.arena + used, operation.data(), operation.size());
    region_.rows[rows++] = {static_cast<uint32_t>(seqno), static_cast<uint32_t>(seqno >> 32), static_cast<uint32_t>(used),
                            static_cast<uint32_t>(operation.size()), static_cast<uint32_t>(e.timeUs),
                            static_cast<uint32_t>(e.timeUs >> 32), e.kind == EntryKind::Query ? kRowQuery : kRowExecute, 0};
    used += (operation.size() + 7) & ~size_t{7};
  }
  last = seqno - 1;
  return rows;
}

/// Whether this replica may tell a client now what entry `seqno` gave. Nothing is done in a LEADER view before it is committed. What is
/// committed is on the disks of a quorum, whether on this one or not.
bool Replica::mayReply(uint64_t seqno) const {
  if (!lasts(seqno) && seqno > committed_ && guard(kGuardReplyDurable)) return false;
  return (status_ == Status::Normal || !guard(kGuardFreezeLog)) && seqno <= executed_ && (mode_ == Mode::Speculative || seqno <= committed_);
}

/// Answers the client of an entry with this replica's present view, the entry's seqno and its hash (never a stored view).
void Replica::replyTo(uint64_t seqno, bool wantFull, uint8_t attempt) {
  if (!log_.has(seqno) || !mayReply(seqno)) return;
  const Entry& e = log_.at(seqno);
  // A session that was evicted may have left its place to another client's.
  if (e.session == log::kNoSession || sessions_[e.session].id != log_.sessionId(seqno)) return;
  const uint64_t request = log_.request(seqno);
  if (e.kind != EntryKind::NoOp) return replyToSlot(e.session, {request, seqno}, wantFull, attempt);
  if (e.status != ResultStatus::Ok) {
    const uint8_t committed = seqno <= committed_ ? wire::kCommitted : 0;
    return addReply(e.session, request, seqno, e.hash.data(), wire::kFullResult | committed, e.status, {});
  }
  // A duplicate in the log: the answer is that of the entry that executed.
  if (request == 0) replyToRegistration(e.session);
  else if (e.previousSlotSeqno < seqno) replyToSlot(e.session, {request, e.previousSlotSeqno}, wantFull, attempt);
}

/// The same for what the session table knows, in the log or below it.
void Replica::replyToSlot(uint32_t session, const log::Slot& slot, bool wantFull, uint8_t attempt) {
  log::Answer answer;
  if (!slot.seqno || !mayReply(slot.seqno) || !sessions_.answerOf(log_, session, slot, answer)) return;
  // One replica sends the result, chosen per request; the others confirm it. In a LEADER view nobody but the one that answers does.
  const bool chosen = mode_ != Mode::Speculative || (sessions_[session].id + slot.request + attempt) % config_.n == config_.replica;
  const bool full = answer.complete && (chosen || wantFull || answer.result.empty() || (attempt > 0 && answer.result.size() <= kEagerResultBytes));
  // Whose machine stands still after a throw does not know yet whether the others threw too: its word alone must not count.
  const bool doubtful = halted_ && answer.status == ResultStatus::MachineThrew;
  uint8_t flags = slot.seqno <= committed_ && !doubtful ? wire::kCommitted : 0;
  if (full) flags |= wire::kFullResult;
  addReply(session, slot.request, slot.seqno, answer.hash, flags, answer.status, full ? answer.result : Bytes{});
}

void Replica::replyToRegistration(uint32_t session) {
  const log::Session& s = sessions_[session];
  if (!mayReply(s.registeredAt)) return;
  const uint8_t committed = s.registeredAt <= committed_ ? wire::kCommitted : 0;
  addReply(session, 0, s.registeredAt, s.registeredHash, wire::kFullResult | committed, ResultStatus::Ok, {});
}

void Replica::addReply(uint32_t session, uint64_t request, uint64_t seqno, const uint8_t* hash, uint8_t flags, ResultStatus status, Bytes result) {
  const log::Session& s = sessions_[session];
  if (s.stream == ~0u || !channels_.streamLive(s.stream) || channels_.streamGeneration(s.stream) != s.streamGeneration) return;
  addReplyToStream(s.stream, {request, seqno, hash, flags, status, result});
}

void Replica::addReplyToStream(uint32_t stream, const wire::ReplyRecord& record, MessageType type) {
  const size_t bytes = wire::kReplyRecordBytes + record.result.size();
  PendingReply* pending = nullptr;
  for (size_t i = 0; i < pendingUsed_; i++) if (pending_[i].stream == stream && pending_[i].type == type) { pending = &pending_[i]; break; }
  if (!pending) {
    if (pendingUsed_ == pending_.size()) pending_.push_back({});
    pending = &pending_[pendingUsed_++];
    pending->stream = stream;
    pending->type = type;
    pending->body.clear();
  }
  if (!pending->body.empty() && (pending->body.size() + bytes > channels_.maxBody() || pending->count == 0xffff)) emitReply(*pending);
  if (pending->body.empty()) { pending->body.resize(wire::kReplyBodyBytes); pending->count = 0; }
  const size_t at = pending->body.size();
  pending->body.resize(at + bytes);
  wire::writeReplyRecord(pending->body.data() + at, record.request, record.seqno, record.hash, record.flags, record.status, record.result);
  pending->count++;
  region_.status[type == MessageType::Reply ? kRepliesSent : kReads] += 1;
}

void Replica::emitReply(PendingReply& pending) {
  if (pending.body.empty() || !channels_.streamLive(pending.stream)) { pending.body.clear(); return; }
  uint8_t* p = pending.body.data();
  wire::store<uint32_t>(p, epoch_);
  p[4] = static_cast<uint8_t>(mode_);
  p[5] = 0;
  wire::store<uint16_t>(p + 6, pending.count);
  wire::store<uint64_t>(p + 8, view_);
  const fabric::Address to = channels_.stream(pending.stream).address;
  // Fragments of two tries may complete each other: all that can differ between them lies in the first fragment.
  const uint64_t key = wire::load<uint64_t>(p + wire::kReplyBodyBytes) * 0x9e3779b97f4a7c15ULL ^ wire::load<uint64_t>(p + wire::kReplyBodyBytes + 8) ^ view_ << 48 ^
                       uint64_t{p[wire::kReplyBodyBytes + 32]} << 40;
  channels_.sealMessage(pending.type, wire::Target::back(pending.stream), pending.body, key,
                        [&](size_t length) { return fabric_->reserve(unicast_, length); },
                        [&](size_t length) { fabric_->commit(unicast_, length, &to, 1); region_.status[kFramesSent] += 1; });
  pending.body.clear();
}

void Replica::emitReplies() {
  for (size_t i = 0; i < pendingUsed_; i++) emitReply(pending_[i]);
  pendingUsed_ = 0;
}

void Replica::answer(uint64_t from, uint64_t to) {
  for (uint64_t s = std::max(from, log_.base() + 1); s <= std::min(to, executed_); s++) replyTo(s, true, 0);
}

void Replica::setHalted(bool halted) {
  halted_ = halted;
  if (!halted && !executing_) {
    executePending(true);
    flush();
  }
  publish();
}

}  // namespace squall::protocol
