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
  while (executed_ < log_.end() && !halted_ && !closed_) {
    uint32_t rows = 0;
    size_t used = 0;
    uint64_t end = executed_;
    while (end < log_.end() && rows < region_.rowCapacity) {
      const Entry& e = log_.at(end + 1);
      if (e.kind == EntryKind::Execute) {
        const Bytes operation = log_.operation(end + 1);
        if (used + operation.size() > region_.arenaBytes) break;
        if (!operation.empty()) std::memcpy(region_.arena + used, operation.data(), operation.size());
        const uint64_t seqno = end + 1;
        region_.rows[rows++] = {static_cast<uint32_t>(seqno), static_cast<uint32_t>(seqno >> 32), static_cast<uint32_t>(used),
                                static_cast<uint32_t>(operation.size()), static_cast<uint32_t>(e.timeUs),
                                static_cast<uint32_t>(e.timeUs >> 32), 0, 0};
        used += (operation.size() + 7) & ~size_t{7};
        if (tracing_) fabric_->trace(this, 'x', log_.record(seqno));
      }
      end++;
    }
    const uint32_t done = rows ? std::min(upcalls_.execute(rows), rows) : 0;
    if (closed_) break;
    size_t offset = 0;
    uint32_t row = 0;
    for (uint64_t seqno = executed_ + 1; seqno <= end; seqno++) {
      if (log_.at(seqno).kind == EntryKind::Execute) {
        if (row == done) break;
        const ExecuteRow& answer = region_.rows[row++];
        const size_t length = std::min<size_t>(answer.resultBytes, region_.resultBytes - offset);
        const Bytes result{region_.results + offset, length};
        if (!log_.setResult(seqno, static_cast<ResultStatus>(answer.status), result)) { halted_ = true; break; }
        if (tracing_) fabric_->trace(this, 'r', result);
        offset += length;
      }
      executed_ = seqno;
      if (reply) replyTo(seqno, false, 0);
    }
    if (rows && done == 0) break;      // the machine stands still
  }
  executing_ = false;
}

/// Answers the client of an entry with this replica's present view, the entry's seqno and its hash (never a stored view).
void Replica::replyTo(uint64_t seqno, bool wantFull, uint8_t attempt) {
  if ((status_ != Status::Normal && guard(kGuardFreezeLog)) || seqno > executed_) return;
  const Entry& e = log_.at(seqno);
  const uint64_t request = log_.request(seqno);
  if (e.kind == EntryKind::NoOp) {
    if (e.status == ResultStatus::Ok) {   // a duplicate in the log: the answer is that of the entry that executed
      if (e.previousSlotSeqno && e.previousSlotSeqno < seqno && e.previousSlotSeqno <= executed_) replyTo(e.previousSlotSeqno, wantFull, attempt);
      return;
    }
    const uint32_t session = e.session == log::kNoSession ? log::kNoSession : e.session;
    const uint8_t committed = seqno <= committed_ ? wire::kCommitted : 0;
    addReply(session, request, seqno, e.hash.data(), wire::kFullResult | committed, e.status, {});
    return;
  }
  const Bytes result = log_.result(seqno);
  const uint64_t id = log_.sessionId(seqno);
  // One replica sends the result, chosen per request; the others confirm it.
  const bool chosen = (id + request + attempt) % config_.n == config_.replica;
  const bool full = chosen || wantFull || result.empty() || (attempt > 0 && result.size() <= kEagerResultBytes);
  uint8_t flags = seqno <= committed_ ? wire::kCommitted : 0;
  if (full) flags |= wire::kFullResult;
  addReply(e.session, request, seqno, e.hash.data(), flags, e.status, full ? result : Bytes{});
}

void Replica::addReply(uint32_t session, uint64_t request, uint64_t seqno, const uint8_t* hash, uint8_t flags, ResultStatus status, Bytes result) {
  if (session == log::kNoSession) return;
  const log::Session& s = sessions_[session];
  if (s.stream == ~0u || !channels_.streamLive(s.stream) || channels_.streamGeneration(s.stream) != s.streamGeneration) return;
  addReplyToStream(s.stream, {request, seqno, hash, flags, status, result});
}

void Replica::addReplyToStream(uint32_t stream, const wire::ReplyRecord& record) {
  const size_t bytes = wire::kReplyRecordBytes + record.result.size();
  PendingReply* pending = nullptr;
  for (size_t i = 0; i < pendingUsed_; i++) if (pending_[i].stream == stream) { pending = &pending_[i]; break; }
  if (!pending) {
    if (pendingUsed_ == pending_.size()) pending_.push_back({});
    pending = &pending_[pendingUsed_++];
    pending->stream = stream;
    pending->body.clear();
  }
  if (!pending->body.empty() && (pending->body.size() + bytes > channels_.maxBody() || pending->count == 0xffff)) emitReply(*pending);
  if (pending->body.empty()) { pending->body.resize(wire::kReplyBodyBytes); pending->count = 0; }
  const size_t at = pending->body.size();
  pending->body.resize(at + bytes);
  wire::writeReplyRecord(pending->body.data() + at, record.request, record.seqno, record.hash, record.flags, record.status, record.result);
  pending->count++;
  region_.status[kRepliesSent] += 1;
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
  channels_.sealMessage(MessageType::Reply, wire::Target::back(pending.stream), pending.body, key,
                        [&](size_t length) { return fabric_->reserve(unicast_, length); },
                        [&](size_t length) { fabric_->commit(unicast_, length, &to, 1); region_.status[kFramesSent] += 1; });
  pending.body.clear();
}

void Replica::emitReplies() {
  for (size_t i = 0; i < pendingUsed_; i++) emitReply(pending_[i]);
  pendingUsed_ = 0;
}

void Replica::answer(uint64_t from, uint64_t to) {
  for (uint64_t s = std::max<uint64_t>(from, 1); s <= std::min(to, executed_); s++) replyTo(s, true, 0);
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
