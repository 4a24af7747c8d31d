// Reads: operations that change nothing and are not logged. They run on the machine at the log's end, with every entry executed:
//  - linearizable ones at every replica in status NORMAL; the client compares (epoch, mode, view, seqno, hash);
//  - those of a session at one replica that has what the session saw, answered once the entries they saw are committed;
//  - stale ones at one replica, at once.
#include <algorithm>

#include "protocol/guards.h"
#include "protocol/replica.h"

namespace squall::protocol {

using wire::Consistency;
using wire::Opened;

namespace {
constexpr uint64_t kReadWaitUs = 1'000'000;      // the client has asked again, or elsewhere, long before
constexpr uint32_t kEagerResultBytes = 1024;     // from the second try on every replica sends results up to this size
}  // namespace

void Replica::onReadFrame(const Opened& frame) {
  if (!hasLife_ || status_ == Status::Recovery) return drop(DropReason::Status);
  Bytes rest = frame.body;
  if (rest.size() < wire::kReadBodyBytes) return drop(DropReason::BadBody);
  const uint16_t count = wire::load<uint16_t>(rest.data());
  rest = rest.subspan(wire::kReadBodyBytes);
  const uint64_t now = nowUs();
  const uint32_t generation = channels_.streamGeneration(frame.stream);
  for (uint16_t i = 0; i < count; i++) {
    wire::ReadRecord record;
    const size_t used = wire::parseReadRecord(rest, config_.maxOperationBytes, record);
    if (!used) return drop(DropReason::BadBody);
    rest = rest.subspan(used);
    WaitingRead* read = nullptr;
    // A retransmission of what still waits takes its place.
    for (size_t k = 0; record.attempt > 0 && k < reads_.size() && !read; k++) {
      const WaitingRead& other = reads_[k];
      if (other.id == record.id && other.stream == frame.stream && other.generation == generation) read = &reads_[k];
    }
    if (!read) {
      read = reads_.add(record.operation);
      if (!read) { drop(DropReason::BufferFull); continue; }
      read->id = record.id;
      read->stream = frame.stream;
      read->generation = generation;
      read->consistency = record.consistency;
      read->minSeqno = record.minSeqno;
      std::memcpy(read->minHash, record.minHash, kReplyHashBytes);
    }
    read->attempt = record.attempt;
    read->arrivedUs = now;
  }
}

/// Whether the log has what the session of this read saw. What is committed here and what the session saw are one history.
bool Replica::knows(const WaitingRead& read) const {
  if (read.minSeqno <= committed_) return true;
  return read.minSeqno <= log_.end() && std::memcmp(log_.hashAt(read.minSeqno), read.minHash, kReplyHashBytes) == 0;
}

bool Replica::readable(const WaitingRead& read) const {
  if (read.consistency == Consistency::Stale) return status_ == Status::Normal || status_ == Status::Reconciliation;
  // Members that have gone on to the next epoch may know more than a majority of this one.
  if (status_ != Status::Normal || closing_ || executed_ != log_.end()) return false;
  return read.consistency == Consistency::Linearizable || knows(read);
}

/// Answers what can be answered now; the rest waits.
void Replica::answerReads() {
  if (reads_.empty() || executing_ || closed_) return;
  const uint64_t now = nowUs();
  for (size_t i = 0; i < reads_.size(); i++) {
    WaitingRead& read = reads_[i];
    const bool gone = !channels_.streamLive(read.stream) || channels_.streamGeneration(read.stream) != read.generation;
    if (gone || now - read.arrivedUs > kReadWaitUs) {
      read.done = true;
      drop(DropReason::Status);
    } else if (read.computed && status_ != Status::Recovery &&
               (read.seqno <= committed_ || (read.consistency == Consistency::Linearizable && lasts(read.seqno)))) {
      answerRead(read, read.seqno, read.status, read.result);
    }
  }
  for (size_t next = 0; next < reads_.size() && !halted_ && !closed_;) next = runReads(next);
  reads_.sweep();
}

/// Runs the readable ones from place `from` on in one upcall, as many as fit; returns the place to go on at.
size_t Replica::runReads(size_t from) {
  readBatch_.clear();
  const uint64_t seqno = executed_, timeUs = log_.timeUsAt(seqno);
  size_t used = 0, next = from;
  for (; next < reads_.size() && readBatch_.size() < region_.rowCapacity; next++) {
    const WaitingRead& read = reads_[next];
    if (read.done || read.computed || !readable(read)) continue;
    if (used + read.operation.size() > region_.arenaBytes) break;
    if (!read.operation.empty()) std::memcpy(region_.arena + used, read.operation.data(), read.operation.size());
    region_.rows[readBatch_.size()] = {static_cast<uint32_t>(seqno), static_cast<uint32_t>(seqno >> 32), static_cast<uint32_t>(used),
                                       static_cast<uint32_t>(read.operation.size()), static_cast<uint32_t>(timeUs),
                                       static_cast<uint32_t>(timeUs >> 32), kRowQuery, 0};
    used += (read.operation.size() + 7) & ~size_t{7};
    readBatch_.push_back(static_cast<uint32_t>(next));
  }
  if (readBatch_.empty()) return reads_.size();
  const uint32_t count = static_cast<uint32_t>(readBatch_.size());
  executing_ = true;
  const uint32_t done = std::min(upcalls_.query(count), count);
  executing_ = false;
  if (closed_) return reads_.size();
  size_t offset = 0;
  for (uint32_t row = 0; row < done; row++) {
    const ExecuteRow& answer = region_.rows[row];
    const size_t length = std::min<size_t>(answer.resultBytes, region_.resultBytes - offset);
    takeAnswer(reads_[readBatch_[row]], seqno, static_cast<wire::ResultStatus>(answer.status), {region_.results + offset, length});
    offset += length;
  }
  if (done == 0) return reads_.size();      // the machine stands still
  return done < count ? readBatch_[done] : next;
}

void Replica::takeAnswer(WaitingRead& read, uint64_t seqno, wire::ResultStatus status, Bytes result) {
  if (tracing_) fabric_->trace(this, 'q', result);
  // What a linearizable read shows must outlast a crash like what a write was told.
  const bool waits = read.consistency == Consistency::Session || (read.consistency == Consistency::Linearizable && !lasts(seqno) && guard(kGuardReplyDurable));
  if (!waits || seqno <= committed_) return answerRead(read, seqno, status, result);
  if (reads_.keepResult(read, seqno, status, result)) return;
  read.done = true;
  drop(DropReason::BufferFull);
}

void Replica::answerRead(WaitingRead& read, uint64_t seqno, wire::ResultStatus status, Bytes result) {
  read.done = true;
  const bool chosen = read.consistency != Consistency::Linearizable || wire::chosenForRead(read.id, read.attempt, config_.n) == config_.replica;
  const bool full = chosen || result.empty() || (read.attempt > 0 && result.size() <= kEagerResultBytes);
  const uint64_t at = guard(kGuardReadAtEnd) ? seqno : std::min(seqno, committed_);
  if (at < log_.base()) return drop(DropReason::Status);   // a state transfer passed it: asked again
  addReplyToStream(read.stream, {read.id, at, log_.hashAt(at), full ? uint8_t{wire::kFullResult} : uint8_t{0}, status, full ? result : Bytes{}},
                   MessageType::ReadReply);
}

}  // namespace squall::protocol
