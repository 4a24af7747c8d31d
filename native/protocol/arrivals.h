// The order in which a backup of a LEADER view got requests from the clients: what its log's order would have been in a SPECULATIVE
// view. The last 4,096 are kept; a measurement only, no part of the replicated state. Plain data, fixed size.
#pragma once

#include <cstdint>
#include <cstring>

namespace squall::protocol {

class Arrivals {
 public:
  static constexpr uint32_t kCapacity = 4096;

  void clear() { next_ = 0; std::memset(index_, 0, sizeof index_); }

  /// The next arrival, unless it is one of those kept: a retransmission arrives where its first copy did.
  void note(uint64_t session, uint64_t request) {
    if (find(session, request)) return;
    const uint32_t at = next_ % kCapacity;
    if (next_ >= kCapacity) erase(at);
    ring_[at] = {session, request};
    uint32_t i = home(at);
    while (index_[i]) i = (i + 1) & kMask;
    index_[i] = static_cast<uint16_t>(at + 1);
    next_++;
  }

  /// Number of the arrival, from 1; 0: not among those kept.
  uint64_t find(uint64_t session, uint64_t request) const {
    for (uint32_t i = home(session, request); index_[i]; i = (i + 1) & kMask) {
      const uint32_t at = index_[i] - 1u;
      if (ring_[at].request == request && ring_[at].session == session) return next_ - ((next_ - 1 - at) % kCapacity);
    }
    return 0;
  }

 private:
  struct Arrival { uint64_t session, request; };
  static constexpr uint32_t kMask = 2 * kCapacity - 1;
  static_assert((kCapacity & (kCapacity - 1)) == 0 && kCapacity < 0xffff);

  static uint32_t home(uint64_t session, uint64_t request) {
    uint64_t x = (session ^ request * 0x9e3779b97f4a7c15ULL) * 0xff51afd7ed558ccdULL;
    return static_cast<uint32_t>(x >> 40) & kMask;
  }
  uint32_t home(uint32_t at) const { return home(ring_[at].session, ring_[at].request); }

  void erase(uint32_t at) {
    uint32_t i = home(at);
    while (index_[i] != at + 1) i = (i + 1) & kMask;
    // Backward shift: what was pushed past the hole moves into it.
    for (uint32_t j = i;;) {
      index_[i] = 0;
      do {
        j = (j + 1) & kMask;
        if (!index_[j]) return;
      } while (((j - home(index_[j] - 1u)) & kMask) < ((j - i) & kMask));
      index_[i] = index_[j];
      i = j;
    }
  }

  Arrival ring_[kCapacity];
  uint16_t index_[2 * kCapacity] = {};   // open addressing: place in the ring + 1, 0 empty
  uint64_t next_ = 0;
};

}  // namespace squall::protocol
