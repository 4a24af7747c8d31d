// The log of one replica: fixed-size entries by sequence number (1, 2, ...) and a ring of bytes for request records and results.
// Chains the summary hash (section 4.2.1): hash(s) = SHA-256(hash(s-1) | record(s)); the view is not part of it.
#pragma once

#include "log/arena.h"
#include "wire/records.h"

namespace squall::log {

enum class EntryKind : uint8_t {
  Execute = 0,      // goes to the state machine
  Register = 1,     // creates a session
  NoOp = 2,         // duplicate, unknown session, stale, predecessor missing: `status` says which
  Refused = 3,      // beyond the soft limit of the log; remembered, so that it never executes later
};

struct Entry {
  Hash hash;
  uint64_t view;                 // view in which it was appended here
  uint64_t recordOffset;
  uint64_t resultOffset;
  uint64_t cumulativeBytes;      // records up to here: decides the soft limit equally at every replica
  uint64_t timeUs;               // logical time: never runs backwards along the log
  // what the session table was before this entry, to undo it
  uint64_t previousSlotRequest, previousSlotSeqno, previousLowMark, previousTouched;
  uint32_t recordBytes;
  uint32_t resultBytes;
  uint32_t session;              // index in the session table, kNoSession if unknown
  uint32_t evicted;              // session that a registration evicted, or kNoSession
  EntryKind kind;
  wire::ResultStatus status;
  uint8_t pad[6];
};
static_assert(sizeof(Entry) == 128);   // two cache lines
constexpr uint32_t kNoSession = ~0u;

class Log {
 public:
  Log(uint64_t maxEntries, uint64_t maxBytes, bool hashOperations);
  bool ok() const { return arena_.ok() && entries_ && bytes_; }

  uint64_t end() const { return end_; }
  uint64_t byteCount() const { return top_; }
  uint64_t capacity() const { return maxEntries_; }
  /// The entry at `seqno`, 1 <= seqno <= end().
  Entry& at(uint64_t seqno) { return entries_[seqno - 1]; }
  const Entry& at(uint64_t seqno) const { return entries_[seqno - 1]; }
  const uint8_t* hashAt(uint64_t seqno) const { return seqno ? entries_[seqno - 1].hash.data() : kGenesis; }
  Bytes record(uint64_t seqno) const { const Entry& e = at(seqno); return {bytes_ + e.recordOffset % maxBytes_, e.recordBytes}; }
  Bytes operation(uint64_t seqno) const { return record(seqno).subspan(wire::kRecordBytes); }
  Bytes result(uint64_t seqno) const { const Entry& e = at(seqno); return {bytes_ + e.resultOffset % maxBytes_, e.resultBytes}; }
  uint64_t request(uint64_t seqno) const { return wire::load<uint64_t>(record(seqno).data() + 8); }
  uint64_t sessionId(uint64_t seqno) const { return wire::load<uint64_t>(record(seqno).data()); }

  /// Physical room for a record of this size and, with it, a reserve for results.
  bool hasRoom(size_t recordBytes) const;
  /// At or beyond this point operations are refused in the log, deterministically: 7/8 of the entries or half of the bytes.
  bool beyondSoftLimit() const;
  /// Copies the record, extends the hash; the caller fills in kind and undo. hasRoom() must hold.
  Entry& append(Bytes record, uint64_t clockUs, uint64_t view);
  /// Stores a result; false when the ring is full.
  bool setResult(uint64_t seqno, wire::ResultStatus status, Bytes result);
  /// After the engine was closed: the memory goes at once, not when the object does.
  void discard() { end_ = top_ = 0; arena_.discard(); }
  /// Forgets all entries above `seqno`.
  void truncateTo(uint64_t seqno);

  static constexpr uint8_t kGenesis[32] = {};
  static constexpr size_t kResultReserveBytes = 8u << 20;

 private:
  uint8_t* room(size_t length, uint64_t& offset);

  uint64_t maxEntries_, maxBytes_;
  bool hashOperations_;
  Arena arena_;
  Entry* entries_;
  uint8_t* bytes_;
  uint64_t end_ = 0;
  uint64_t top_ = 0;             // monotone offset behind the last byte in use
};

}  // namespace squall::log
