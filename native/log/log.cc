#include "log/log.h"

#include <algorithm>

#include "wire/crypto.h"

namespace squall::log {

namespace {
constexpr uint64_t kCheckpointParts = 8;      // checkpoints of one ring's worth of records
constexpr uint64_t kDemandParts = 4;          // the ring's part that results may fill without a checkpoint
constexpr uint64_t kRollbackScan = 4096;      // entries that a rollback looks at for the end of what is kept
constexpr uint64_t kFirstEntries = 8192;      // of the rings, at most twice as much: a mebibyte or two of entries ...
constexpr uint64_t kFirstBytes = 1u << 20;    // ... and of bytes

uint64_t padded(uint64_t length) { return (length + 7) & ~uint64_t{7}; }

/// `most`, halved until it is small: doubling leads back to exactly `most`.
uint64_t firstRing(uint64_t most, uint64_t enough) {
  while (most > enough && most % 16 == 0) most /= 2;
  return most;
}

/// So that it can be halved often.
uint64_t ringBytes(uint64_t most) {
  constexpr uint64_t kUnit = 1u << 20;
  return most > kUnit ? (most + kUnit - 1) / kUnit * kUnit : padded(most);
}
}  // namespace

Log::Log(uint64_t maxEntries, uint64_t maxBytes, bool hashOperations, uint64_t checkpointEvery)
    : maxEntries_(maxEntries), maxBytes_(ringBytes(std::max<uint64_t>(maxBytes, 4 * kResultReserveBytes))),
      entryRing_(firstRing(maxEntries_, kFirstEntries)), byteRing_(firstRing(maxBytes_, kFirstBytes)), hashOperations_(hashOperations),
      checkpointEvery_(checkpointEvery), arena_(Arena::need<Entry>(maxEntries_) + Arena::need<uint8_t>(maxBytes_)),
      entries_(arena_.take<Entry>(maxEntries_)), bytes_(arena_.take<uint8_t>(maxBytes_)) {}

Position Log::position(uint64_t seqno) const {
  Position out{{}, cumulativeBytesAt(seqno), timeUsAt(seqno)};
  std::memcpy(out.hash.data(), hashAt(seqno), out.hash.size());
  return out;
}

uint64_t Log::place(uint64_t offset, uint64_t size) const {
  const uint64_t at = inRing(offset);
  return at + size > byteRing_ ? offset + byteRing_ - at : offset;
}

/// What has come round to the ring's start moves behind its former end: there it lies where its offset says again.
void Log::growEntries() {
  const uint64_t former = entryRing_, used = end_ - origin_;
  entryRing_ *= 2;
  if (used > former) std::memcpy(entries_ + former, entries_, (used - former) * sizeof(Entry));
}

/// The same for the bytes; false when the ring has its full length.
bool Log::growBytes() {
  if (byteRing_ == maxBytes_) return false;
  const uint64_t former = byteRing_, used = top_ - lap_;
  byteRing_ *= 2;
  if (used > former) std::memcpy(bytes_ + former, bytes_, used - former);
  return true;
}

bool Log::hasRoom(size_t recordBytes) const {
  const uint64_t size = padded(recordBytes);
  return end_ - base_ < maxEntries_ && place(top_, size) + size + kResultReserveBytes < bottom_ + maxBytes_;
}

bool Log::hasResultRoom(size_t bytes, size_t count) const {
  // The ring's end may waste as much as the largest of them takes.
  return byteCount() + 2 * bytes + 8 * count < maxBytes_;
}

bool Log::beyondSoftLimit() const {
  if (checkpointEvery_) return false;
  return end_ >= maxEntries_ - maxEntries_ / 8 || cumulativeBytesAt(end_) >= maxBytes_ / 2;
}

uint8_t* Log::room(size_t length, uint64_t& offset) {
  const uint64_t size = padded(length);
  offset = place(top_, size);
  while (offset + size > bottom_ + byteRing_) {
    if (!growBytes()) return nullptr;
    offset = place(top_, size);
  }
  top_ = offset + size;
  return bytes_ + inRing(offset);
}

Entry& Log::append(Bytes record, uint64_t clockUs, uint64_t view, const uint8_t* hash) {
  if (end_ - base_ == entryRing_ && entryRing_ < maxEntries_) growEntries();
  Entry& e = at(end_ + 1);
  e.cumulativeBytes = cumulativeBytesAt(end_) + sizeof(Entry) + padded(record.size());
  e.timeUs = std::max(timeUsAt(end_), clockUs);
  uint8_t* to = room(record.size(), e.recordOffset);
  if (to) std::memcpy(to, record.data(), record.size());
  e.recordBytes = to ? static_cast<uint32_t>(record.size()) : 0;
  e.resultOffset = e.recordOffset;
  e.resultBytes = 0;
  e.view = view;
  e.session = e.evicted = kNoSession;
  e.kind = EntryKind::NoOp;
  e.status = wire::ResultStatus::Ok;
  if (hash) std::memcpy(e.hash.data(), hash, e.hash.size());
  else wire::summaryHash(hashAt(end_), hashOperations_ ? record : record.first(wire::kRecordBytes), e.hash);
  end_++;
  if (!due_ && checkpointEvery_ && (end_ >= quietSeqno_ || e.cumulativeBytes >= quietBytes_)) findDue();
  return e;
}

void Log::findDue() {
  if (isCheckpoint(end_) && !isReconfiguration(end_)) due_ = end_;
  const uint64_t part = maxBytes_ / kCheckpointParts;
  quietSeqno_ = (end_ / checkpointEvery_ + 1) * checkpointEvery_;
  quietBytes_ = (cumulativeBytesAt(end_) / part + 1) * part;
}

bool Log::setResult(uint64_t seqno, wire::ResultStatus status, Bytes result) {
  Entry& e = at(seqno);
  e.status = status;
  e.resultBytes = 0;
  if (result.empty()) return true;
  uint8_t* to = room(result.size(), e.resultOffset);
  if (!to) return false;
  std::memcpy(to, result.data(), result.size());
  e.resultBytes = static_cast<uint32_t>(result.size());
  return true;
}

void Log::rollbackTo(uint64_t seqno) {
  if (seqno >= end_) return;
  end_ = std::max(seqno, base_);
  quietSeqno_ = 0;
  if (due_ > end_) due_ = 0;
  if (end_ == base_) { top_ = bottom_; return; }
  // Results are stored in the log's order, behind the records of their batch: the last one that is kept may reach beyond the first
  // forgotten record. Where it is not soon found the bytes stay in use until the log is truncated.
  const uint64_t lowest = end_ - base_ > kRollbackScan ? end_ - kRollbackScan : base_;
  uint64_t s = end_;
  while (s > lowest && !at(s).resultBytes) s--;
  if (s == lowest && lowest != base_) return;
  top_ = at(end_).recordOffset + padded(at(end_).recordBytes);
  if (s > lowest) top_ = std::max(top_, at(s).resultOffset + padded(at(s).resultBytes));
}

void Log::truncate(uint64_t seqno) {
  if (seqno <= base_ || seqno > end_) return;
  atBase_ = position(seqno);
  setBottom(seqno == end_ ? top_ : at(seqno + 1).recordOffset);
  base_ = seqno;
  if (base_ - origin_ >= entryRing_) origin_ += entryRing_;
  if (due_ && due_ <= base_) due_ = nextCheckpoint(base_);
}

void Log::restore(uint64_t seqno, const Position& position) {
  checkpointed_ = seqno;
  due_ = 0;
  atBase_ = position;
  restart(seqno);
}

/// Nothing but what comes behind `seqno`.
void Log::restart(uint64_t seqno) {
  base_ = end_ = origin_ = seqno;
  lap_ = bottom_ = top_ = checkpointTop_ = quietSeqno_ = 0;
}

bool Log::isCheckpoint(uint64_t seqno) const {
  const uint64_t part = maxBytes_ / kCheckpointParts;
  return seqno % checkpointEvery_ == 0 || cumulativeBytesAt(seqno) / part != cumulativeBytesAt(seqno - 1) / part;
}

/// The lowest checkpoint above `after`, base_ <= after <= end_; 0: none.
uint64_t Log::nextCheckpoint(uint64_t after) const {
  if (!checkpointEvery_) return 0;
  const uint64_t part = maxBytes_ / kCheckpointParts, passed = cumulativeBytesAt(after) / part;
  uint64_t low = after, high = std::min(end_ + 1, (after / checkpointEvery_ + 1) * checkpointEvery_);
  // The cumulative bytes rise along the log: the first entry in another part is found by halving.
  while (high - low > 1) {
    const uint64_t middle = low + (high - low) / 2;
    (cumulativeBytesAt(middle) / part != passed ? high : low) = middle;
  }
  return high > end_ || isReconfiguration(high) ? 0 : high;
}

void Log::checkpointed(uint64_t seqno) {
  if (seqno <= checkpointed_ || seqno > end_) return;
  checkpointed_ = seqno;
  if (seqno >= base_) checkpointTop_ = seqno == end_ ? top_ : at(seqno + 1).recordOffset;
  due_ = nextCheckpoint(std::max(seqno, base_));
}

void Log::demandCheckpoint(uint64_t seqno) {
  if (!checkpointEvery_ || due_ || seqno <= checkpointed_ || seqno <= base_ || top_ < checkpointTop_ + maxBytes_ / kDemandParts) return;
  due_ = seqno;
}

}  // namespace squall::log
