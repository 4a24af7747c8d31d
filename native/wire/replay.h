// Which counters of a stream have been seen: an exact window of the newest 8,192.
#pragma once

#include <algorithm>

#include "wire/types.h"

namespace squall::wire {

class ReplayWindow {
 public:
  static constexpr uint64_t kBits = 8192;

  /// True if the counter is new and not older than the window; it is marked as seen. Counters start at 1.
  bool accept(uint64_t counter) {
    if (counter > newest_) {
      advance(counter);
    } else if (newest_ - counter >= kBits || (word(counter) & bit(counter))) {
      return false;
    }
    word(counter) |= bit(counter);
    return true;
  }
  uint64_t newest() const { return newest_; }

 private:
  uint64_t& word(uint64_t counter) { return words_[counter % kBits / 64]; }
  static uint64_t bit(uint64_t counter) { return 1ull << (counter % 64); }

  // The bits of the counters that enter the window still hold those of the counters that leave it.
  void advance(uint64_t counter) {
    if (counter - newest_ >= kBits) {
      words_.fill(0);
    } else {
      for (uint64_t c = newest_ + 1; c < counter;) {
        if (c % 64 == 0 && counter - c >= 64) {
          word(c) = 0;
          c += 64;
        } else {
          word(c) &= ~bit(c);
          c++;
        }
      }
    }
    newest_ = counter;
  }

  uint64_t newest_ = 0;
  std::array<uint64_t, kBits / 64> words_{1};   // counter 0 counts as seen: no sender uses it
};

}  // namespace squall::wire
