// Waiting before the loop sleeps; only the UDP fabric's own sources include this.
#pragma once

#include "fabric/udp_internal.h"

namespace squall::fabric {

struct UdpFabric::Waiter {
  uv_prepare_t prepare;                    // runs when the loop has nothing left but to sleep
  std::shared_ptr<Lifetime> lifetime;
  WaitMode mode = WaitMode::Block;
  WaitPolicy policy;
  WaitCounters counters;
  uint64_t seenTraffic = 0;
};

}  // namespace squall::fabric
