// The session table: replicated state. Decides at execution, in log order, whether a request is fresh, a duplicate, stale or of
// nobody. Every decision can be undone from what the log entry remembers, so the table rolls back with the log.
#pragma once

#include <vector>

#include "log/retained.h"
#include "wire/crypto.h"

namespace squall::log {

struct Session {
  uint64_t id, clientId;
  uint64_t lowMark;        // requests below it are done at the client
  uint64_t touched;        // last seqno that used it: the least recently used is evicted
  uint64_t registeredAt;   // seqno of its registration
  uint64_t evictedAt;      // seqno of the registration that pushed it out; freed when that is final
  uint8_t registeredHash[kReplyHashBytes];
  uint32_t stream;         // receive stream of the client; local, not replicated state
  uint32_t streamGeneration;
  uint8_t live, pad[7];
};
struct Slot { uint64_t request, seqno; };

/// What a request that was executed is answered with.
struct Answer {
  const uint8_t* hash;     // kReplyHashBytes
  wire::ResultStatus status;
  bool complete;           // whether `result` is known
  Bytes result;
};

class Sessions {
 public:
  Sessions(uint32_t maxSessions, uint32_t window, bool dedupe, uint32_t retainedBytes = kRetainedBytes);
  bool ok() const { return arena_.ok() && sessions_ && slots_ && index_ && retained_.ok(); }

  uint32_t find(uint64_t id) const;                       // kNoSession if unknown
  Session& operator[](uint32_t index) { return sessions_[index]; }
  const Session& operator[](uint32_t index) const { return sessions_[index]; }
  /// The slot of an executed (or refused) request, or null.
  const Slot* executed(uint32_t session, uint64_t request) const;
  uint32_t live() const { return liveCount_; }
  /// Places of the table, live sessions in some of them.
  uint32_t capacity() const { return capacity_; }
  uint32_t window() const { return window_; }
  /// False when too many evictions wait to be final: registrations are dropped before the log then.
  bool acceptsRegistration() const { return evictions_ < kEvictionSlack / 16; }

  /// Decides the entry just appended at `seqno` and applies it. Sets kind, status, session and the undo fields; for a duplicate
  /// previousSlotSeqno names the entry that holds the answer.
  void apply(Log& log, uint64_t seqno, const wire::Record& record, bool refuse);
  /// Undoes the newest applied entry.
  void undo(const Log& log, uint64_t seqno);
  /// Everything up to `seqno` is final: evicted sessions are freed, but for those that a checkpoint which is due still has.
  void commit(const Log& log, uint64_t seqno);
  /// SHA-256 over the replicated part, sessions in order of their ids: independent of where they lie.
  void digest(Hash& out) const;

  /// Before log.truncate(seqno): copies what a request that comes again is answered with. Takes time for all sessions' windows.
  void retain(const Log& log, uint64_t seqno);
  /// The answer to a request in `slot` of this session, from the log or from what was retained; false where nothing is known, which
  /// is so only for requests that the client has said to be done.
  bool answerOf(const Log& log, uint32_t session, const Slot& slot, Answer& out) const;

  /// The table as of `seqno`, log.base() < seqno <= what is committed and executed, for restore() elsewhere:
  ///   digest 32 (equal at all replicas, as digest() gave at that seqno) | seqno 8 | version 4 | window 4 | sessions 4 | zero 4 |
  ///   each session, ids rising: id, clientId, lowMark, touched, registeredAt 8 each | hash 16 | slots 4 | zero 4 |
  ///     each slot of the window: request 8 | seqno 8 | hash 16 | result's length 4 | status 1 | SlotImage kind 1 | zero 2 | result.
  /// Of the results, which are no part of the digest, at most retainedBytes are in it. False, with `out` empty, when a session that
  /// was live at `seqno` is freed already.
  bool serialize(const Log& log, uint64_t seqno, std::vector<uint8_t>& out) const;
  /// Becomes the table that was serialized at `seqno`; false and unchanged when the bytes are anything else. Sessions that were known
  /// here keep their streams.
  bool restore(Bytes in, uint64_t seqno);

  /// All but retained replies, which a log that was never truncated has none of.
  void save(StateWriter& out) const;
  bool load(StateReader& in);

  static constexpr uint32_t kEvictionSlack = 1024;
  static constexpr uint32_t kRetainedBytes = 64u << 20;

 private:
  struct Clone;
  void insert(uint32_t session);
  void erase(uint32_t session);
  uint32_t freeSlot();
  void release(uint64_t seqno);
  uint64_t slotIndex(uint32_t session, uint64_t request) const {
    const uint64_t mask = window_ - 1;
    return uint64_t{session} * window_ + ((window_ & mask) == 0 ? request & mask : request % window_);      // a division costs 11 ns
  }
  Slot& slot(uint32_t session, uint64_t request) const { return slots_[slotIndex(session, request)]; }
  bool wellFormed(Bytes in, uint64_t seqno) const;
  bool cloneAt(const Log& log, uint64_t seqno, Clone& clone) const;
  static void undoRequest(const Entry& e, Session& session, Slot& slot);
  static void hashSession(wire::Sha256& hash, const Session& session);
  static void hashSlot(wire::Sha256& hash, const Slot& slot);

  uint32_t maxSessions_, capacity_, window_, indexMask_;
  bool dedupe_;
  Arena arena_;
  Session* sessions_;
  Slot* slots_;
  uint32_t* index_;            // open addressing, session + 1, 0 empty
  RetainedReplies retained_;
  uint32_t liveCount_ = 0, evictions_ = 0, nextFree_ = 0;
  uint64_t final_ = 0;         // what commit() was told
};

}  // namespace squall::log
