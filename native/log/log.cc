#include "log/log.h"

#include <algorithm>

#include "wire/crypto.h"

namespace squall::log {

Log::Log(uint64_t maxEntries, uint64_t maxBytes, bool hashOperations)
    : maxEntries_(maxEntries), maxBytes_(std::max<uint64_t>(maxBytes, 4 * kResultReserveBytes)), hashOperations_(hashOperations),
      arena_(Arena::need<Entry>(maxEntries_) + Arena::need<uint8_t>(maxBytes_)),
      entries_(arena_.take<Entry>(maxEntries_)), bytes_(arena_.take<uint8_t>(maxBytes_)) {}

bool Log::hasRoom(size_t recordBytes) const {
  return end_ < maxEntries_ && top_ + recordBytes + kResultReserveBytes < maxBytes_;
}

bool Log::beyondSoftLimit() const {
  const uint64_t bytes = end_ ? at(end_).cumulativeBytes : 0;
  return end_ >= maxEntries_ - maxEntries_ / 8 || bytes >= maxBytes_ / 2;
}

uint8_t* Log::room(size_t length, uint64_t& offset) {
  const uint64_t size = (length + 7) & ~uint64_t{7};
  offset = top_;
  // Nothing straddles the ring's end.
  if (offset % maxBytes_ + size > maxBytes_) offset += maxBytes_ - offset % maxBytes_;
  if (offset + size > maxBytes_) return nullptr;   // no truncation yet: the ring never wraps
  top_ = offset + size;
  return bytes_ + offset % maxBytes_;
}

Entry& Log::append(Bytes record, uint64_t clockUs, uint64_t view) {
  Entry& e = entries_[end_];
  const uint8_t* previous = hashAt(end_);
  e.cumulativeBytes = (end_ ? at(end_).cumulativeBytes : 0) + sizeof(Entry) + ((record.size() + 7) & ~size_t{7});
  e.timeUs = std::max(end_ ? at(end_).timeUs : 0, clockUs);
  uint8_t* to = room(record.size(), e.recordOffset);
  if (to) std::memcpy(to, record.data(), record.size());
  e.recordBytes = to ? static_cast<uint32_t>(record.size()) : 0;
  e.resultOffset = e.recordOffset;
  e.resultBytes = 0;
  e.view = view;
  e.session = e.evicted = kNoSession;
  e.kind = EntryKind::NoOp;
  e.status = wire::ResultStatus::Ok;
  wire::sha256({previous, 32}, hashOperations_ ? record : record.first(wire::kRecordBytes), e.hash);
  end_++;
  return e;
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

void Log::truncateTo(uint64_t seqno) {
  end_ = std::min(end_, seqno);
  // Results lie behind the records of their batch: what is kept may reach beyond the first forgotten record.
  uint64_t top = 0;
  constexpr uint64_t kBatchEntries = 4096;
  for (uint64_t s = end_; s > 0 && s + kBatchEntries > end_; s--) {
    const Entry& e = at(s);
    top = std::max({top, e.recordOffset + ((e.recordBytes + 7) & ~7u), e.resultOffset + ((e.resultBytes + 7) & ~7u)});
  }
  if (end_ > 0 || seqno == 0) top_ = std::max(top, uint64_t{0});
}

}  // namespace squall::log
