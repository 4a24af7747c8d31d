#include "check.h"
#include "fabric/wait_policy.h"

using squall::fabric::WaitPolicy;

TEST(wait_looks_as_long_as_it_finds) {
  WaitPolicy policy;
  for (uint64_t now = 0; now < 10'000; now += 10) {
    CHECK(policy.budgetUs(now) > 0);
    policy.found(8);
  }
  CHECK_EQ(policy.budgetUs(10'000), 26u);           // twice the usual time and some: what comes late is not waited for
}

TEST(wait_stops_looking_when_it_does_not_pay) {
  WaitPolicy policy;
  uint64_t now = 1'000, spentUs = 0;
  for (; now < 10'000'000; now += 1'000) {          // ten seconds in which nothing ever comes in time
    const uint32_t budget = policy.budgetUs(now);
    if (budget == 0) continue;
    CHECK(budget <= WaitPolicy::kMostUs);
    spentUs += budget;
    policy.missed(now + budget);
  }
  CHECK(policy.paused());
  CHECK(spentUs > 0 && spentUs <= 30 * WaitPolicy::kMostUs);      // pauses double up to 0.64 s
}

TEST(wait_tries_again_after_a_pause) {
  WaitPolicy policy;
  for (int i = 0; i < 3; ++i) policy.missed(0);
  CHECK_EQ(policy.budgetUs(WaitPolicy::kShortestPauseUs - 1), 0u);
  CHECK(policy.budgetUs(WaitPolicy::kShortestPauseUs) > 0);
  policy.found(20);
  policy.missed(WaitPolicy::kShortestPauseUs);
  CHECK(policy.budgetUs(WaitPolicy::kShortestPauseUs + 1) == 0);  // the trial is short
  CHECK(policy.budgetUs(3 * WaitPolicy::kShortestPauseUs) > 0);   // and the second pause twice the first
}

TEST(wait_leaves_a_core_that_others_want) {
  WaitPolicy policy;
  uint64_t now = 0, pauseUs = 0;
  for (int i = 0; i < 12; ++i) {
    CHECK(policy.budgetUs(now) > 0);
    policy.found(5);                                // finding something does not excuse it
    policy.robbed(now);
    pauseUs = 0;
    while (policy.budgetUs(now + pauseUs) == 0) pauseUs += 1'000;
    now += pauseUs;
  }
  CHECK_EQ(pauseUs, uint64_t{WaitPolicy::kLongestPauseUs});
}

TEST(wait_forgives_when_it_goes_well_again) {
  WaitPolicy policy;
  for (int i = 0; i < 12; ++i) policy.robbed(0);
  CHECK(policy.budgetUs(WaitPolicy::kLongestPauseUs) > 0);
  for (int i = 0; i < 1'000; ++i) policy.found(5);
  policy.robbed(0);
  CHECK(policy.budgetUs(WaitPolicy::kShortestPauseUs) > 0);
}
