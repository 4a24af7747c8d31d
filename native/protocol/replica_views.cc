// The control plane's verbs that change view, status or log. Each is one step: nothing is received between its parts.
#include <algorithm>

#include "protocol/guards.h"
#include "protocol/replica.h"

namespace squall::protocol {

bool Replica::bootstrap(const LifeId& life) {
  if (status_ != Status::Recovery || hasLife_ || log_.end() != 0) return false;
  channels_.setLife(life);
  life_ = life;
  hasLife_ = true;
  view_ = lastNormalView_ = 0;
  beginUndurable(0);
  mode_ = config_.firstMode;
  status_ = Status::Normal;
  beginView();
  publish();
  return true;
}

void Replica::freeze(uint64_t view) {
  emitReplies();                // what was answered was answered in the old view
  reads_.forgetUndurable();
  view_ = view;
  status_ = Status::Reconciliation;
  publish();
}

bool Replica::install(uint64_t view, Mode mode, uint64_t keepTo, const std::vector<Bytes>& records, Bytes hashes) {
  if (closed_ || keepTo < committed_ || keepTo > log_.end() || view < view_ || (!hashes.empty() && hashes.size() != records.size() * 32)) return false;
  emitReplies();                // what was answered so far was answered in the old view
  for (uint64_t s = log_.end(); s > keepTo; s--) sessions_.undo(log_, s);
  region_.status[kRolledBack] += static_cast<double>(log_.end() - keepTo);
  log_.rollbackTo(keepTo);
  reads_.rollBackTo(keepTo);
  executed_ = std::min(executed_, keepTo);
  reads_.forgetUndurable();
  beginUndurable(keepTo);
  view_ = lastNormalView_ = view;
  mode_ = mode;
  status_ = Status::Normal;
  for (const Bytes& bytes : records) {
    wire::Record record;
    if (!wire::parseRecord(bytes, config_.maxOperationBytes, record) || record.all.size() != bytes.size() || !log_.hasRoom(bytes.size())) return false;
    appendRecord(record, hashes.empty() ? nullptr : hashes.data() + (log_.end() - keepTo) * 32);
  }
  closing_ = endsEpoch() && guard(kGuardClosingView);
  beginView();
  executePending(false);
  if (closed_) return false;
  // Who waits for an entry that was kept or adopted hears of it now, not at its next time-out.
  for (uint64_t s = committed_ + 1; s <= executed_; s++) replyTo(s, false, 0);
  if (!closing_) takeBuffered();
  executePending(true);
  progressed_ = true;
  publish();
  return true;
}

void Replica::takeBuffered() {
  readClock();
  std::deque<Buffered> waiting;
  waiting.swap(buffered_);
  bufferedBytes_ = 0;
  for (const Buffered& b : waiting) {
    wire::Record record;
    if (!channels_.streamLive(b.stream) || channels_.streamGeneration(b.stream) != b.generation) continue;
    if (wire::parseRecord(b.record, config_.maxOperationBytes, record)) onRecord(record, b.stream, 0, 0);
  }
}

bool Replica::commitTo(uint64_t seqno) {
  if (seqno > log_.end()) return false;
  if (seqno <= committed_) return true;
  raiseCommitted(seqno);
  tickedCommitted_ = seqno;
  publish();
  return true;
}

/// The leader of a LEADER or FAST view answers what was executed before it was committed; the rest at its execution.
void Replica::raiseCommitted(uint64_t seqno) {
  const uint64_t before = committed_;
  committed_ = seqno;
  sessions_.commit(log_, seqno);
  if (fabric_->tracing()) {
    uint8_t record[40];
    wire::store<uint64_t>(record, seqno);
    std::memcpy(record + 8, log_.hashAt(seqno), 32);
    fabric_->trace(this, 'c', record);
  }
  if ((!inLeaderView() && !inFastView()) || !leads_) return;
  for (uint64_t s = before + 1; s <= std::min(seqno, executed_); s++) replyTo(s, false, 0);
}

}  // namespace squall::protocol
