// Reads outside the log. A linearizable one goes to all replicas and is done when a superquorum (in LEADER views f+1) answered at equal
// ends of their logs; after a few tries it becomes a logged operation. Those of a session and stale ones go to one replica.
#include <algorithm>

#include "client/client.h"
#include "protocol/guards.h"

namespace squall::client {

using wire::Consistency;
using wire::Opened;
using wire::ReplyRecord;
using wire::ResultStatus;

namespace {
constexpr uint8_t kReadRounds = 3;                    // tries of a linearizable read before it is logged
constexpr uint64_t kMismatchUs = 500;                 // until the next try after answers that can't match
constexpr uint64_t kSessionPatienceUs = 20'000;       // a session's read may wait for a SYNC to commit what it saw
constexpr size_t kKeptCapacity = 4096;

void release(std::vector<uint8_t>& bytes) {
  if (bytes.capacity() > kKeptCapacity) bytes = {};
  else bytes.clear();
}
}  // namespace

bool Client::flushReads(uint32_t count) {
  if (closed_ || count > region_.readCapacity || state_ != ClientState::Ready) return false;
  const uint64_t now = nowUs();
  uint64_t earliest = ~0ull;
  readBatch_.clear();
  for (uint32_t i = 0; i < count; i++) {
    const RequestRow& row = region_.reads[i];
    if (row.slot >= reads_.size() || reads_[row.slot].active || row.length > config_.maxOperationBytes ||
        row.flags > static_cast<uint32_t>(Consistency::Stale) || uint64_t{row.offset} + row.length > region_.arenaBytes) return false;
    Read& r = reads_[row.slot];
    r.id = ++readsStarted_ * reads_.size() + row.slot;      // never used again
    r.consistency = static_cast<Consistency>(row.flags);
    r.attempt = 0;
    r.replica = readReplica_;
    r.active = true;
    r.voters = r.full = 0;
    r.record.resize(wire::kReadRecordBytes + row.length);
    wire::writeReadRecordHeader(r.record.data(), r.id, seenSeqno_, seenHash_, r.consistency, 0, row.length);
    if (row.length) std::memcpy(r.record.data() + wire::kReadRecordBytes, region_.arena + row.offset, row.length);
    r.firstSentUs = now;
    r.dueUs = now + readPatienceUs(r);
    earliest = std::min(earliest, r.dueUs);
    activeReads_++;
    readBatch_.push_back(&r);
  }
  sendReads(false);
  fabric_->flushSoon();
  arm(earliest);
  return true;
}

uint64_t Client::readPatienceUs(const Read& r) const {
  const uint64_t retry = retryUs(r.attempt);
  return r.consistency == Consistency::Session ? std::max(retry, kSessionPatienceUs) : retry;
}

/// Sends readBatch_: one sequence of frames for all replicas, and one for each that is asked alone.
void Client::sendReads(bool direct) {
  for (uint32_t to = 0; to <= n_; to++) {            // n_: all
    uint64_t key = 0;
    readBody_.assign(wire::kReadBodyBytes, 0);
    for (Read* r : readBatch_) {
      if ((r->consistency == Consistency::Linearizable ? n_ : r->replica) != to) continue;
      r->record[wire::kReadAttemptOffset] = r->attempt;
      const bool first = readBody_.size() == wire::kReadBodyBytes;
      if (!first && readBody_.size() + r->record.size() > channels_.maxBody()) emitReads(to, key, direct);
      if (readBody_.size() == wire::kReadBodyBytes) key = r->id;
      readBody_.insert(readBody_.end(), r->record.begin(), r->record.end());
      wire::store<uint16_t>(readBody_.data(), static_cast<uint16_t>(wire::load<uint16_t>(readBody_.data()) + 1));
    }
    if (readBody_.size() > wire::kReadBodyBytes) emitReads(to, key, direct);
  }
  release(readBody_);
}

void Client::emitReads(uint32_t to, uint64_t key, bool direct) {
  const fabric::Address* addresses = to < n_ ? &config_.replicas[to] : config_.replicas.data();
  size_t count = to < n_ ? 1 : n_;
  if (to == n_ && config_.target.family && !direct) { addresses = &config_.target; count = 1; }
  channels_.sealMessage(MessageType::Read, to < n_ ? wire::Target::one(to) : wire::Target::all(), readBody_, key,
                        [&](size_t bytes) { return fabric_->reserve(endpoint_, bytes); },
                        [&](size_t bytes) { fabric_->commit(endpoint_, bytes, addresses, count); region_.status[kClientFramesSent] += 1; });
  readBody_.assign(wire::kReadBodyBytes, 0);
}

void Client::onReadReplies(const Opened& frame) {
  Bytes rest = frame.body;
  if (rest.size() < wire::kReplyBodyBytes || frame.sender >= n_ || rest[4] >= kModes) {
    region_.status[kClientDropBase + static_cast<uint32_t>(DropReason::BadBody)] += 1;
    return;
  }
  ReadVote header;
  header.epoch = wire::load<uint32_t>(rest.data());
  header.mode = static_cast<Mode>(rest[4]);
  const uint16_t count = wire::load<uint16_t>(rest.data() + 6);
  header.view = wire::load<uint64_t>(rest.data() + 8);
  lastHeardUs_ = nowUs();
  rest = rest.subspan(wire::kReplyBodyBytes);
  for (uint16_t i = 0; i < count; i++) {
    ReplyRecord reply;
    const size_t used = wire::parseReplyRecord(rest, reply);
    if (!used) { region_.status[kClientDropBase + static_cast<uint32_t>(DropReason::BadBody)] += 1; return; }
    rest = rest.subspan(used);
    onReadReply(static_cast<uint32_t>(frame.sender), header, reply);
  }
}

void Client::onReadReply(uint32_t replica, const ReadVote& header, const ReplyRecord& reply) {
  if (reads_.empty()) return;
  Read& r = reads_[reply.request % reads_.size()];
  if (!r.active || r.id != reply.request) return;
  const bool full = reply.flags & wire::kFullResult;
  if (r.consistency != Consistency::Linearizable) {
    if (!full) return;
    if (r.consistency == Consistency::Session) {
      if (reply.seqno < wire::load<uint64_t>(r.record.data() + 8)) return;     // older than what the session saw
      saw(reply.seqno, reply.hash);
    }
    return finishRead(r, kReadDone, reply.status, reply.seqno, reply.result);
  }
  ReadVote& vote = r.votes[replica];
  const uint32_t bit = 1u << replica;
  // Within a view a log only grows: an answer with less was overtaken on its way.
  if ((r.voters & bit) && (vote.view > header.view || (vote.view == header.view && vote.seqno > reply.seqno))) return;
  vote = header;
  vote.seqno = reply.seqno;
  vote.status = reply.status;
  std::memcpy(vote.hash, reply.hash, kReplyHashBytes);
  r.voters |= bit;
  r.full = full ? r.full | bit : r.full & ~bit;
  if (full) r.results[replica].assign(reply.result.begin(), reply.result.end());
  judgeRead(r);
}

void Client::judgeRead(Read& r) {
  const uint32_t silent = n_ - static_cast<uint32_t>(__builtin_popcount(r.voters));
  bool hopeful = silent >= majority(n_);
  for (uint32_t i = 0; i < n_; i++) {
    if (!(r.voters >> i & 1)) continue;
    const ReadVote& a = r.votes[i];
    uint32_t group = 0;
    for (uint32_t k = 0; k < n_; k++) {
      const ReadVote& b = r.votes[k];
      if ((r.voters >> k & 1) && a.epoch == b.epoch && a.view == b.view && a.mode == b.mode && a.seqno == b.seqno && a.status == b.status &&
          std::memcmp(a.hash, b.hash, kReplyHashBytes) == 0) group |= 1u << k;
    }
    const uint32_t equal = static_cast<uint32_t>(__builtin_popcount(group)), needed = a.mode != Mode::Speculative ? majority(n_) : readQuorum_;
    hopeful |= equal + silent >= needed;
    if (equal < needed) continue;
    if (!(r.full & group)) {                    // agreed, but nobody of them has sent the result: the next try chooses another one
      askAgain(r, std::max<uint64_t>(1000, static_cast<uint64_t>(srttUs_)));
      return;
    }
    saw(a.seqno, a.hash);
    return finishRead(r, kReadDone, a.status, a.seqno, r.results[__builtin_ctz(r.full & group)]);
  }
  if (hopeful) return;
  region_.status[kReadMismatches] += 1;
  askAgain(r, kMismatchUs);
}

void Client::askAgain(Read& r, uint64_t inUs) {
  r.dueUs = std::min(r.dueUs, nowUs() + inUs);
  arm(r.dueUs);
}

/// The reads whose time has come: once more, elsewhere, or as logged operations. Returns when the next one is due.
uint64_t Client::retryReads(uint64_t now) {
  for (Read& r : reads_) {           // first, since their completions may start other reads
    if (!r.active || r.dueUs > now || r.consistency != Consistency::Linearizable || r.attempt + 1 < kReadRounds) continue;
    region_.status[kReadsLogged] += 1;
    finishRead(r, kReadUnsettled, ResultStatus::Ok, 0, Bytes{r.record}.subspan(wire::kReadRecordBytes));
    if (closed_) return ~0ull;
  }
  uint64_t earliest = ~0ull;
  bool direct = false;
  readBatch_.clear();
  for (Read& r : reads_) {
    if (!r.active) continue;
    if (r.dueUs <= now) {
      if (r.attempt < UINT8_MAX) r.attempt++;
      r.voters = r.full = 0;
      if (r.consistency != Consistency::Linearizable) {
        if (r.replica == readReplica_) readReplica_ = static_cast<uint8_t>((readReplica_ + 1) % n_);
        r.replica = readReplica_;
      }
      direct |= r.attempt > 1;
      r.dueUs = now + readPatienceUs(r);
      region_.status[kReadRetries] += 1;
      readBatch_.push_back(&r);
    }
    earliest = std::min(earliest, r.dueUs);
  }
  if (!readBatch_.empty()) sendReads(direct);
  return earliest;
}

/// The session has seen this entry, which stays: its later reads must not see less.
void Client::saw(uint64_t seqno, const uint8_t* hash) {
  if (seqno <= seenSeqno_) return;
  seenSeqno_ = seqno;
  std::memcpy(seenHash_, hash, kReplyHashBytes);
}

void Client::finishRead(Read& r, CompletionKind kind, ResultStatus status, uint64_t seqno, Bytes result) {
  makeRoom(result.size());
  if (closed_) return;
  r.active = false;
  activeReads_--;
  if (kind == kReadDone) region_.status[kReadsDone] += 1;
  addCompletion(kind, static_cast<uint32_t>(r.id % reads_.size()), r.id, status, seqno, nowUs() - r.firstSentUs, result);
  for (std::vector<uint8_t>& kept : r.results) release(kept);
  release(r.record);
}

}  // namespace squall::client
