// Whether it pays to look for datagrams for a while before the loop sleeps, decided by how the last looks went. No I/O.
#pragma once

#include <cstdint>

namespace squall::fabric {

/// What a loop does once it has nothing to do. Block: sleeps. Yield: looks for datagrams for a short time first, offering the processor to
/// others between looks. Spin: the same without offering it.
enum class WaitMode : uint8_t { Block = 0, Yield = 1, Spin = 2 };
constexpr uint32_t kWaitModes = 3;

class WaitPolicy {
 public:
  static constexpr uint32_t kLeastUs = 20, kMostUs = 100;              // of one look
  static constexpr uint32_t kShortestPauseUs = 5'000, kLongestPauseUs = 640'000;
  /// A core that was away for so long between two looks belongs to somebody else.
  static constexpr uint32_t kRobbedUs = 500;

  /// How long to look before sleeping; 0: sleep at once.
  uint32_t budgetUs(uint64_t nowUs);
  /// A datagram came within the budget.
  void found(uint32_t tookUs);
  /// None did.
  void missed(uint64_t nowUs);
  /// Others have work for this core.
  void robbed(uint64_t nowUs);

  bool paused() const { return pausedUntilUs_ != 0; }

 private:
  static constexpr uint32_t kPerfect = 1'024, kPays = 768;             // three of four
  static constexpr uint32_t kTrial = kPays + kPays / 16;               // after a pause: a miss begins the next
  void pause(uint64_t nowUs);

  uint32_t score_ = kPerfect;              // share of looks that found something, the last ones weighing most
  uint32_t usualUs_ = kMostUs / 2;         // how long it took to find something, smoothed
  uint32_t pauseUs_ = kShortestPauseUs;    // the next one
  uint32_t foundInRow_ = 0;
  uint64_t pausedUntilUs_ = 0;
};

}  // namespace squall::fabric
