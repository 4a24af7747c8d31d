// The small interface behind which transports live: UDP sockets, the simulator's loop, later XDP, verbs, shared memory.
// A fabric lends receive buffers for the length of the call, owns the send buffers, and needs no file descriptor.
#pragma once

#include "wire/types.h"

namespace squall::fabric {

/// A network address of any fabric: an IP address and port, or a port of the loop.
struct Address {
  uint8_t family = 0;          // 0 none, 4 IPv4, 6 IPv6, 1 loop
  uint16_t port = 0;
  uint8_t ip[16] = {};         // network order; IPv4 in the first four bytes
  uint32_t scope = 0;          // IPv6 scope id
  bool operator==(const Address& o) const {
    return family == o.family && port == o.port && scope == o.scope && std::memcmp(ip, o.ip, 16) == 0;
  }
};

struct Capabilities {
  bool multicast = false;        // one send reaches a group
  bool ordered = false;          // all receivers see one order
  bool oneSidedWrites = false;
  bool segmentation = false;     // GSO: equal-sized frames leave in one call
  uint32_t maxDatagramBytes = 0;
};

struct Datagram {
  const uint8_t* data;
  uint32_t length;
  Address from;
};

/// An engine (replica, client, relay) attached to one or more endpoints.
class Receiver {
 public:
  virtual ~Receiver() = default;
  virtual uint64_t group() const = 0;                   // 0: wants every group (relay)
  /// What the frames for this receiver name as their destination; 0: it looks at every frame of its group. Receivers that say it can share
  /// an endpoint without each looking at what is for the others.
  virtual uint64_t destination() const { return 0; }
  virtual void onDatagram(const Datagram& datagram) = 0;
  virtual void onBatchEnd() = 0;                        // after the last datagram of a batch: upcalls, replies
  virtual void onTimer() = 0;                           // the time given to setTimer has come
};

using EndpointId = uint32_t;
constexpr EndpointId kNoEndpoint = ~0u;

struct EndpointOptions {
  Address bind;                  // port 0: any
  bool multicast = false;        // bind is a group: join it
  Address interfaceAddress;      // for multicast: the local interface (address; scope for IPv6)
  uint32_t receiveBufferBytes = 4u << 20;
  /// With port 0: datagrams that the receiver may have under way at once, 0 for an endpoint of its own. Receivers with a destination share
  /// an endpoint as long as they are together no more than what a receive buffer is meant for (kSharedLoad).
  uint32_t sharedLoad = 0;
};
constexpr uint32_t kSharedLoad = 1'024;      // requests under way: as many as one session may have

class Fabric {
 public:
  virtual ~Fabric() = default;
  virtual Capabilities capabilities() const = 0;
  /// Opens an endpoint or shares the one with the same address. 0 on success, else a positive errno.
  virtual int attach(const EndpointOptions& options, Receiver* receiver, EndpointId& out) = 0;
  virtual void detach(EndpointId endpoint, Receiver* receiver) = 0;
  virtual Address addressOf(EndpointId endpoint) const = 0;

  /// Room for one frame in the endpoint's send arena; never null for length <= 65,000 (a full arena is flushed first).
  virtual uint8_t* reserve(EndpointId endpoint, size_t length) = 0;
  /// Queues the reserved frame for these addresses. Nothing is sent before flush().
  virtual void commit(EndpointId endpoint, size_t length, const Address* to, size_t count) = 0;
  /// Sends all that is queued; never blocks: what the kernel refuses is counted and lost, as on a network.
  virtual void flush() = 0;
  /// The same, or at the end of the batch of datagrams that is being received where several receivers have a part in it: their frames leave
  /// together.
  virtual void flushSoon() { flush(); }

  virtual uint64_t nowUs(const Receiver* receiver) const = 0;      // monotonic
  virtual uint64_t wallClockUs(const Receiver* receiver) const = 0; // since 1970
  virtual void setTimer(Receiver* receiver, uint64_t atUs) = 0;    // one per receiver; ~0 cancels
  virtual void entropy(uint8_t* out, size_t length) = 0;
  /// What the simulator folds into its trace besides frames: upcalls and replies.
  virtual void trace(const Receiver*, uint8_t /*tag*/, Bytes) {}
  virtual bool tracing() const { return false; }
};

}  // namespace squall::fabric
