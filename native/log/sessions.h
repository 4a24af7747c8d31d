// The session table: replicated state. Decides at execution, in log order, whether a request is fresh, a duplicate, stale or of
// nobody. Every decision can be undone from what the log entry remembers, so the table rolls back with the log.
#pragma once

#include "log/log.h"

namespace squall::log {

struct Session {
  uint64_t id, clientId;
  uint64_t lowMark;        // requests below it are done at the client
  uint64_t touched;        // last seqno that used it: the least recently used is evicted
  uint64_t registeredAt;   // seqno of its registration
  uint64_t evictedAt;      // seqno of the registration that pushed it out; freed when that commits
  uint32_t stream;         // receive stream of the client; local, not replicated state
  uint32_t streamGeneration;
  uint8_t live, pad[7];
};
struct Slot { uint64_t request, seqno; };

class Sessions {
 public:
  Sessions(uint32_t maxSessions, uint32_t window, bool dedupe);
  bool ok() const { return arena_.ok() && sessions_ && slots_ && index_; }

  uint32_t find(uint64_t id) const;                       // kNoSession if unknown
  Session& operator[](uint32_t index) { return sessions_[index]; }
  const Session& operator[](uint32_t index) const { return sessions_[index]; }
  /// The slot of an executed (or refused) request, or null.
  const Slot* executed(uint32_t session, uint64_t request) const;
  uint32_t live() const { return liveCount_; }
  uint32_t window() const { return window_; }
  /// False when too many evictions wait for a commit: registrations are dropped before the log then.
  bool acceptsRegistration() const { return evictions_ < kEvictionSlack / 16; }

  /// Decides the entry just appended at `seqno` and applies it. Sets kind, status, session and the undo fields; for a duplicate
  /// previousSlotSeqno names the entry that holds the answer.
  void apply(Log& log, uint64_t seqno, const wire::Record& record, bool refuse);
  /// Undoes the newest applied entry.
  void undo(const Log& log, uint64_t seqno);
  /// Everything up to `seqno` is final: evicted sessions are freed.
  void commit(uint64_t seqno);
  /// SHA-256 over the replicated part, sessions in order of registration: independent of where they lie.
  void digest(Hash& out) const;

  static constexpr uint32_t kEvictionSlack = 1024;

 private:
  void insert(uint32_t session);
  void erase(uint32_t session);
  uint32_t freeSlot();
  Slot& slot(uint32_t session, uint64_t request) const { return slots_[uint64_t{session} * window_ + request % window_]; }

  uint32_t maxSessions_, capacity_, window_, indexMask_;
  bool dedupe_;
  Arena arena_;
  Session* sessions_;
  Slot* slots_;
  uint32_t* index_;            // open addressing, session + 1, 0 empty
  uint32_t liveCount_ = 0, evictions_ = 0, nextFree_ = 0;
};

}  // namespace squall::log
