#include "fabric/wait_policy.h"

#include <algorithm>

namespace squall::fabric {

namespace {
constexpr uint32_t kSmoothing = 8;
constexpr uint32_t kCalm = 64;             // so many found in a row forgive one doubling of the pause
}  // namespace

uint32_t WaitPolicy::budgetUs(uint64_t nowUs) {
  if (pausedUntilUs_ != 0) {
    if (nowUs < pausedUntilUs_) return 0;
    pausedUntilUs_ = 0;
    score_ = kTrial;
  }
  return std::clamp(2 * usualUs_ + 10, kLeastUs, kMostUs);
}

void WaitPolicy::found(uint32_t tookUs) {
  score_ += (kPerfect - score_ + kSmoothing - 1) / kSmoothing;
  usualUs_ = (usualUs_ * (kSmoothing - 1) + std::min(tookUs, kMostUs)) / kSmoothing;
  if (++foundInRow_ < kCalm) return;
  foundInRow_ = 0;
  pauseUs_ = std::max(pauseUs_ / 2, kShortestPauseUs);
}

void WaitPolicy::missed(uint64_t nowUs) {
  foundInRow_ = 0;
  score_ -= score_ / kSmoothing;
  usualUs_ = std::min(usualUs_ + usualUs_ / kSmoothing + 1, kMostUs);      // perhaps it only comes later
  if (score_ < kPays) pause(nowUs);
}

void WaitPolicy::robbed(uint64_t nowUs) {
  foundInRow_ = 0;
  pause(nowUs);
}

void WaitPolicy::pause(uint64_t nowUs) {
  pausedUntilUs_ = nowUs + pauseUs_;
  pauseUs_ = std::min(2 * pauseUs_, kLongestPauseUs);
}

}  // namespace squall::fabric
