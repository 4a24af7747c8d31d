// Checkpoints, truncation and state transfer: the control plane's verbs that replace what is committed by something shorter.
#include <algorithm>

#include "protocol/replica.h"

namespace squall::protocol {

namespace {
// Results lie behind the records that were appended before them, and a truncation frees both in that order: a long run of records
// without results would be in the way. Evictions, too, become final as they come.
constexpr size_t kAppendAtOnce = 64;
}  // namespace

bool Replica::setLife(const LifeId& life) {
  if (status_ != Status::Recovery) return false;
  channels_.setLife(wire::epochLife(life, epoch_));
  life_ = life;
  hasLife_ = true;
  return true;
}

bool Replica::checkpointSessions(uint64_t seqno, std::vector<uint8_t>& out) const {
  out.clear();
  return !closed_ && log_.has(seqno) && seqno <= std::min(committed_, executed_) && sessions_.serialize(log_, seqno, out);
}

void Replica::checkpointed(uint64_t seqno) {
  if (closed_) return;
  log_.checkpointed(std::min(seqno, committed_));
  sessions_.commit(log_, committed_);      // what this checkpoint held is free
  publish();
}

bool Replica::truncate(uint64_t seqno) {
  if (closed_ || seqno > std::min(committed_, executed_)) return false;
  if (seqno <= log_.base()) return true;
  sessions_.retain(log_, seqno);
  log_.truncate(seqno);
  executePending(true);         // it may have waited for room
  publish();
  return true;
}

bool Replica::restore(uint64_t seqno, const log::Position& position, Bytes sessions) {
  const bool behind = inLeaderView() && !leads_ && seqno >= log_.end();
  if (closed_ || executing_ || seqno < committed_ || (status_ != Status::Recovery && status_ != Status::Reconciliation && !behind)) return false;
  emitReplies();                // what was answered was answered from the old state
  if (!sessions_.restore(sessions, seqno)) return false;
  reads_.rollBackTo(committed_);
  beginUndurable(0);
  log_.restore(seqno, position);
  executed_ = seqno;
  raiseCommitted(seqno);
  publish();
  return true;
}

bool Replica::appendCommitted(const std::vector<Bytes>& records, Bytes hashes) {
  if (closed_ || executing_ || (status_ != Status::Recovery && (!inLeaderView() || leads_))) return false;
  if (!hashes.empty() && hashes.size() != records.size() * 32) return false;
  wire::Record record;
  for (const Bytes& bytes : records)
    if (!wire::parseRecord(bytes, config_.maxOperationBytes, record) || record.all.size() != bytes.size()) return false;
  size_t appended = 0;
  do {
    const size_t end = std::min(appended + kAppendAtOnce, records.size());
    for (; appended < end && log_.hasRoom(records[appended].size()); appended++) {
      wire::parseRecord(records[appended], config_.maxOperationBytes, record);
      appendRecord(record, hashes.empty() ? nullptr : hashes.data() + appended * 32);
    }
    if (log_.end() > committed_) raiseCommitted(log_.end());
    executePending(false);
    if (closed_) return false;
    if (appended < end) break;
  } while (appended < records.size() && executed_ == log_.end());
  publish();
  return appended == records.size();
}

bool Replica::reexecute(uint64_t from, uint64_t to) {
  if (closed_ || executing_ || halted_ || from <= log_.base() || to > executed_) return false;
  executing_ = true;
  bool same = true;
  for (uint64_t next = from; next <= to && same;) {
    uint64_t last;
    const uint32_t rows = fillRows(next, to, last);
    const uint32_t done = rows ? std::min(upcalls_.execute(rows), rows) : 0;
    if (closed_ || (rows && !done)) { same = false; break; }
    size_t offset = 0;
    for (uint32_t row = 0; row < done && same; row++) {
      const ExecuteRow& answer = region_.rows[row];
      const uint64_t seqno = uint64_t{answer.seqnoHi} << 32 | answer.seqnoLo;
      const Bytes before = log_.result(seqno);
      same = static_cast<wire::ResultStatus>(answer.status) == log_.at(seqno).status && answer.resultBytes == before.size() &&
             offset + before.size() <= region_.resultBytes &&
             (before.empty() || std::memcmp(region_.results + offset, before.data(), before.size()) == 0);
      offset += before.size();
      next = seqno + 1;
    }
    if (done == rows) next = last + 1;
  }
  executing_ = false;
  return same;
}

}  // namespace squall::protocol
