// The log of one replica: fixed-size entries by sequence number (1, 2, ...) in a ring, and a ring of bytes for request records and
// results. Entries at or below base() are gone; what lies between base() and end() is the log.
// Chains the summary hash (section 4.2.1), see summaryHash(); the view is not part of it.
// A ring doubles when what it holds no longer fits, up to its limit: a log whose checkpoints come often goes round in memory that is
// warm, instead of taking fresh pages until it has come round a large one.
#pragma once

#include "log/arena.h"
#include "log/state.h"
#include "wire/records.h"

namespace squall::log {

enum class EntryKind : uint8_t {
  Execute = 0,      // goes to the state machine
  Register = 1,     // creates a session
  NoOp = 2,         // duplicate, unknown session, stale, predecessor missing: `status` says which
  Refused = 3,      // beyond the soft limit of the log; remembered, so that it never executes later
  Query = 4,        // runs the machine's query: has a result and nothing to roll back
};

/// Whether the state machine is asked for the entry's result.
constexpr bool runsOnMachine(EntryKind kind) { return kind == EntryKind::Execute || kind == EntryKind::Query; }

struct Entry {
  Hash hash;
  uint64_t view;                 // view in which it was appended here
  uint64_t recordOffset;
  uint64_t resultOffset;
  uint64_t cumulativeBytes;      // entries and records up to here: decides soft limit and checkpoints equally at every replica
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

/// What the log remembers of the last entry that is gone, and what a snapshot must say of its own.
struct Position {
  Hash hash{};
  uint64_t cumulativeBytes = 0, timeUs = 0;
};

class Log {
 public:
  /// `checkpointEvery`: entries between checkpoints; 0: there are none, nothing is truncated, and the log fills up.
  Log(uint64_t maxEntries, uint64_t maxBytes, bool hashOperations, uint64_t checkpointEvery = 0);
  bool ok() const { return arena_.ok() && entries_ && bytes_; }

  uint64_t base() const { return base_; }
  uint64_t end() const { return end_; }
  bool has(uint64_t seqno) const { return seqno > base_ && seqno <= end_; }
  /// Bytes of the ring in use.
  uint64_t byteCount() const { return top_ - bottom_; }
  /// What the rings have grown to: bytes of memory that the log has touched at most.
  uint64_t residentBytes() const { return entryRing_ * sizeof(Entry) + byteRing_; }
  uint64_t capacity() const { return maxEntries_; }
  /// The entry at `seqno`, base() < seqno <= end().
  Entry& at(uint64_t seqno) { return entries_[indexOf(seqno)]; }
  const Entry& at(uint64_t seqno) const { return entries_[indexOf(seqno)]; }
  /// 32 bytes, for base() <= seqno <= end(); zeros at 0.
  const uint8_t* hashAt(uint64_t seqno) const { return seqno == base_ ? atBase_.hash.data() : at(seqno).hash.data(); }
  uint64_t cumulativeBytesAt(uint64_t seqno) const { return seqno == base_ ? atBase_.cumulativeBytes : at(seqno).cumulativeBytes; }
  uint64_t timeUsAt(uint64_t seqno) const { return seqno == base_ ? atBase_.timeUs : at(seqno).timeUs; }
  Position position(uint64_t seqno) const;
  Bytes record(uint64_t seqno) const { const Entry& e = at(seqno); return {bytes_ + inRing(e.recordOffset), e.recordBytes}; }
  Bytes operation(uint64_t seqno) const { return record(seqno).subspan(wire::kRecordBytes); }
  Bytes result(uint64_t seqno) const { const Entry& e = at(seqno); return {bytes_ + inRing(e.resultOffset), e.resultBytes}; }
  uint64_t request(uint64_t seqno) const { return wire::load<uint64_t>(record(seqno).data() + 8); }
  uint64_t sessionId(uint64_t seqno) const { return wire::load<uint64_t>(record(seqno).data()); }

  /// Physical room for a record of this size and, with it, a reserve for results.
  bool hasRoom(size_t recordBytes) const;
  /// Physical room for `count` results of together at most `bytes`.
  bool hasResultRoom(size_t bytes, size_t count) const;
  /// Without checkpoints: at or beyond this point operations are refused in the log, deterministically: 7/8 of the entries or half of
  /// the bytes. With checkpoints never, because truncation is local and replicas would decide differently.
  bool beyondSoftLimit() const;
  /// Copies the record, extends the hash; the caller fills in kind and undo. hasRoom() must hold. `hash`: 32 bytes, where the
  /// caller knows the entry's summary hash already.
  Entry& append(Bytes record, uint64_t clockUs, uint64_t view, const uint8_t* hash = nullptr);
  /// Stores a result; false when the ring is full. In order of seqno.
  bool setResult(uint64_t seqno, wire::ResultStatus status, Bytes result);
  /// After the engine was closed: the memory goes at once, not when the object does.
  void discard() { restore(0, {}); arena_.discard(); }
  /// Forgets the entries above `seqno`.
  void rollbackTo(uint64_t seqno);
  /// Forgets the entries up to `seqno`, base() <= seqno <= end().
  void truncate(uint64_t seqno);
  /// An empty log that goes on behind `seqno`.
  void restore(uint64_t seqno, const Position& position);

  /// The lowest entry at which a checkpoint must be taken and was not; 0: none. Which entries these are is decided by the log alone:
  /// every checkpointEvery-th, and each at which the cumulative bytes cross a multiple of an eighth of maxBytes.
  uint64_t checkpointDue() const { return due_; }
  /// A checkpoint at `seqno` was taken: it and those below are due no more.
  void checkpointed(uint64_t seqno);
  /// Makes `seqno` due when results, which do not count above, have filled a quarter of the ring since the last checkpoint.
  void demandCheckpoint(uint64_t seqno);
  /// Makes the log's end due: a new epoch begins with a checkpoint, for those that join. The reconfiguration that ends an epoch never is
  /// due in it, so that no state transfer hides it from who takes part in the old epoch.
  void demandAtEnd() { if (checkpointEvery_ && end_ > base_) due_ = end_; }
  bool isReconfiguration(uint64_t seqno) const { return has(seqno) && record(seqno)[32] & wire::kReconfigure; }

  /// Content and undo information of every entry; `views`: with the views in which they were appended here.
  void save(StateWriter& out, bool views) const;
  /// Takes the place of all that is here; false, and to be thrown away, when the bytes are anything else.
  bool load(StateReader& in);

  static constexpr size_t kResultReserveBytes = 8u << 20;

 private:
  uint64_t indexOf(uint64_t seqno) const {
    const uint64_t i = seqno - 1 - origin_;
    return i < entryRing_ ? i : i - entryRing_;
  }
  /// Of an offset from bottom_ to a ring's length behind it, without the division that would be most of what an access costs.
  uint64_t inRing(uint64_t offset) const {
    const uint64_t i = offset - lap_;
    return i < byteRing_ ? i : i - byteRing_;
  }
  /// At most a ring's length behind where it was.
  void setBottom(uint64_t offset) {
    bottom_ = offset;
    if (offset - lap_ >= byteRing_) lap_ += byteRing_;
  }
  void restart(uint64_t seqno);
  void growEntries();
  bool growBytes();
  /// Where `size` bytes behind `offset` lie in one piece.
  uint64_t place(uint64_t offset, uint64_t size) const;
  uint8_t* room(size_t length, uint64_t& offset);
  void findDue();
  bool isCheckpoint(uint64_t seqno) const;
  uint64_t nextCheckpoint(uint64_t after) const;

  uint64_t maxEntries_, maxBytes_;
  uint64_t entryRing_, byteRing_;   // what of them is in use: doubled, up to the whole
  bool hashOperations_;
  uint64_t checkpointEvery_;
  Arena arena_;
  Entry* entries_;
  uint8_t* bytes_;
  uint64_t base_ = 0, end_ = 0;
  uint64_t origin_ = 0;          // the entry behind it lies at the ring's start; base_ is less than a ring's length behind it
  Position atBase_;
  uint64_t lap_ = 0;             // the offset that lies at the ring's start; bottom_ is less than a ring's length behind it
  uint64_t bottom_ = 0, top_ = 0;   // offsets of the first byte in use and behind the last; they only rise, but for a rollback
  uint64_t checkpointed_ = 0, due_ = 0;
  uint64_t checkpointTop_ = 0;   // offset behind the last checkpoint
  // An entry that is appended below both is no checkpoint.
  uint64_t quietSeqno_ = 0, quietBytes_ = 0;
};

}  // namespace squall::log
