// Replies to requests whose log entries are gone: a header beside each slot of the session table, and the results in two halves of
// which one is in use. A truncation copies what is still needed into the other half, so that nothing is ever freed singly.
// The space is bounded. When it does not suffice, the results that were there before make room for those that the truncation brings;
// of a reply whose result is gone the summary hash remains, so that it still confirms the result of another replica.
#pragma once

#include "log/log.h"

namespace squall::log {

struct RetainedReply {
  uint64_t seqno;                          // whose reply it is; another than the slot's: nothing is known
  uint8_t hash[kReplyHashBytes];
  uint32_t offset, bytes;                  // the result, in the half in use
  uint32_t filling;                        // which filling of a half holds the result; 0: none does
  wire::ResultStatus status;
  uint8_t pad[3];
};
static_assert(sizeof(RetainedReply) == 40);

class RetainedReplies {
 public:
  RetainedReplies(uint64_t slots, uint32_t bytes)
      : capacity_(bytes), arena_(Arena::need<RetainedReply>(slots) + 2 * Arena::need<uint8_t>(bytes)),
        replies_(arena_.take<RetainedReply>(slots)), halves_{arena_.take<uint8_t>(bytes), arena_.take<uint8_t>(bytes)} {}
  bool ok() const { return arena_.ok() && replies_ && halves_[0] && halves_[1]; }
  uint32_t capacity() const { return capacity_; }

  /// What is known of the reply of entry `seqno` in this slot, or null.
  const RetainedReply* find(uint64_t slot, uint64_t seqno) const {
    const RetainedReply& r = replies_[slot];
    return seqno && r.seqno == seqno ? &r : nullptr;
  }
  /// A reply that a truncation passed over, because a newer request had its slot, has lost its result.
  bool complete(const RetainedReply& r) const { return r.filling == filling_; }
  Bytes result(const RetainedReply& r) const { return complete(r) ? Bytes{halves_[half_] + r.offset, r.bytes} : Bytes{}; }

  /// From here on the other half is filled; result() still gives what was there before, until finish().
  void begin() { used_ = 0; }
  /// Keeps a reply; `result` only if `complete` and while there is room.
  void keep(uint64_t slot, uint64_t seqno, const uint8_t* hash, wire::ResultStatus status, bool complete, Bytes result) {
    RetainedReply& r = replies_[slot];
    const bool fits = complete && result.size() <= capacity_ - used_;
    r.seqno = seqno;
    std::memmove(r.hash, hash, sizeof r.hash);
    r.status = status;
    r.filling = fits ? filling_ + 1 : 0;
    r.offset = used_;
    r.bytes = fits ? static_cast<uint32_t>(result.size()) : 0;
    if (!r.bytes) return;
    std::memcpy(halves_[1 - half_] + used_, result.data(), result.size());
    used_ += r.bytes;
  }
  void forget(uint64_t slot) { replies_[slot].seqno = 0; }
  void finish() { half_ = 1 - half_; filling_++; }

 private:
  uint32_t capacity_;
  Arena arena_;
  RetainedReply* replies_;
  uint8_t* halves_[2];
  uint32_t half_ = 0, used_ = 0, filling_ = 1;
};

}  // namespace squall::log
