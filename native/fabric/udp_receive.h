// The receive buffers of one UDP fabric; only its own sources include this.
#pragma once

#include <memory>

#include "fabric/udp_internal.h"

namespace squall::fabric {

/// One set for all endpoints: receiving happens on one thread and delivers before it receives again.
struct UdpFabric::ReceiveRing {
  ReceiveRing();
#ifdef __linux__
  mmsghdr messages[kReceiveMessages];
  iovec vectors[kReceiveMessages];
  SocketAddress from[kReceiveMessages];
  alignas(cmsghdr) uint8_t control[kReceiveMessages][CMSG_SPACE(sizeof(int))];
#endif
  std::unique_ptr<uint8_t[]> bytes;
};

}  // namespace squall::fabric
