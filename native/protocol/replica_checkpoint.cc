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
  displacedTo_ = ~uint64_t{0};
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

uint32_t Replica::committedRun(uint64_t from, uint64_t to, size_t maxBytes, std::vector<uint8_t>& out) const {
  uint64_t last = from;
  size_t size = 32 + 4 + log_.record(from).size();
  for (to = std::min(to, committed_); last < to; last++) {
    const size_t more = 4 + log_.record(last + 1).size();
    if (size + more > maxBytes) break;
    size += more;
  }
  out.reserve(out.size() + size);
  const uint8_t* hash = log_.hashAt(last);
  out.insert(out.end(), hash, hash + 32);
  for (uint64_t s = from; s <= last; s++) {
    const Bytes record = log_.record(s);
    uint8_t length[4];
    wire::store<uint32_t>(length, static_cast<uint32_t>(record.size()));
    out.insert(out.end(), length, length + 4);
    out.insert(out.end(), record.begin(), record.end());
  }
  return static_cast<uint32_t>(last - from + 1);
}

int64_t Replica::appendRun(Bytes run, Bytes hashes) {
  if (run.size() < 32) return -1;
  const Bytes last = run.first(32);
  std::vector<Bytes> records;
  for (run = run.subspan(32); !run.empty();) {
    if (run.size() < 4) return -1;
    const size_t length = wire::load<uint32_t>(run.data());
    if (length > run.size() - 4) return -1;
    records.push_back(run.subspan(4, length));
    run = run.subspan(4 + length);
  }
  std::vector<uint8_t> computed;
  if (hashes.empty()) {
    computed.resize(records.size() * 32);
    const uint8_t* previous = log_.hashAt(log_.end());
    for (size_t i = 0; i < records.size(); i++) {
      Hash hash;
      wire::summaryHash(previous, records[i], hash);
      std::memcpy(computed.data() + i * 32, hash.data(), 32);
      previous = computed.data() + i * 32;
    }
    hashes = computed;
  }
  if (records.empty() || hashes.size() != records.size() * 32 || std::memcmp(hashes.data() + hashes.size() - 32, last.data(), 32) != 0) return -1;
  const uint64_t end = log_.end();
  const bool room = log_.hasRoom(records[0].size());
  if (!appendCommitted(records, hashes) && log_.end() == end && room) return -1;
  return static_cast<int64_t>(records.size() - (log_.end() - end));
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
