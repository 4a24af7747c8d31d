// Protocol rules that a test build can switch off, to show that the simulator notices. The published build has no such switch.
#pragma once

#include <cstdint>

namespace squall::protocol {

enum Guard : uint32_t {
  kGuardMatchView = 1u << 0,
  kGuardMatchHash = 1u << 1,
  kGuardSuperQuorum = 1u << 2,
  kGuardHashOperation = 1u << 3,
  kGuardSessionDedupe = 1u << 4,
  kGuardFreezeLog = 1u << 5,
  kGuardPrepareGaps = 1u << 6,
  kGuardPrepareQuorum = 1u << 7,
  kGuardReplyDurable = 1u << 23,
  kGuardPrepareOkDurable = 1u << 24,
  kGuardReadAtEnd = 1u << 26,
  kGuardReadQuorum = 1u << 27,
  kGuardClosingView = 1u << 28,
};

/// True when the rule is in force.
constexpr bool guarded([[maybe_unused]] uint32_t guardsOff, [[maybe_unused]] uint32_t bit) {
#ifdef SQUALL_MUTATIONS
  return (guardsOff & bit) == 0;
#else
  return true;
#endif
}

}  // namespace squall::protocol
