// The state of artificial reordering; only the UDP fabric's own sources include this.
#pragma once

#include <memory>
#include <vector>

#include "fabric/udp_internal.h"

namespace squall::fabric {

struct UdpFabric::Reordering {
  struct Held {
    EndpointId endpoint;
    Address from;
    uint32_t behind;                       // requests that still have to pass it
    uint64_t untilUs;                      // when it goes on whatever passed
    std::vector<uint8_t> bytes;
  };

  bool draw();

  Alarm alarm;
  std::shared_ptr<Lifetime> lifetime;
  ReorderOptions options;
  uint64_t state = 0;
  std::vector<Held> held;                  // in order of arrival, so also of untilUs
};

}  // namespace squall::fabric
