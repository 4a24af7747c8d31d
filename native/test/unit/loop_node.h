// A receiver on a port of the loop that keeps what arrives.
#pragma once

#include <functional>
#include <vector>

#include "check.h"
#include "fabric/loop.h"
#include "wire/frame.h"

namespace squall::fabric {

inline constexpr uint64_t kGroup = 7;

struct Arrival {
  uint64_t timeUs;
  uint16_t from;
  uint32_t value;
  uint32_t length;
};

class Node final : public Receiver {
 public:
  explicit Node(LoopHub& hub, uint64_t group = kGroup) : hub(hub), port(hub.addPort()), group_(group) {
    EndpointOptions options;
    options.bind = loopAddress(0);
    port->attach(options, this, endpoint);
  }
  /// Listens to the multicast group, too.
  EndpointId join(uint16_t multicast) {
    EndpointOptions options;
    options.bind = loopAddress(multicast);
    options.multicast = true;
    EndpointId id = kNoEndpoint;
    CHECK_EQ(port->attach(options, this, id), 0);
    return id;
  }
  uint64_t group() const override { return group_; }
  void onDatagram(const Datagram& datagram) override {
    arrivals.push_back({hub.nowUs(), datagram.from.port, wire::load<uint32_t>(datagram.data + wire::kHeaderBytes),
                        datagram.length});
    if (onData) onData(datagram);
  }
  void onBatchEnd() override {
    ++batches;
    if (onEnd) onEnd();
  }
  void onTimer() override {
    timers.push_back(port->nowUs(this));
    if (onTime) onTime();
  }
  void send(const Address* to, size_t count, uint32_t value, size_t length = 200, uint64_t group = kGroup) {
    uint8_t* frame = port->reserve(endpoint, length);
    std::memset(frame, 0, length);
    wire::store(frame + 8, group);
    if (length >= wire::kHeaderBytes + 4) wire::store(frame + wire::kHeaderBytes, value);
    port->commit(endpoint, length, to, count);
  }
  void send(uint16_t to, uint32_t value, size_t length = 200, uint64_t group = kGroup) {
    const Address address = loopAddress(to);
    send(&address, 1, value, length, group);
  }
  void sendNow(uint16_t to, uint32_t value, size_t length = 200) {
    send(to, value, length);
    port->flush();
  }

  LoopHub& hub;
  LoopPort* port;
  EndpointId endpoint = kNoEndpoint;
  std::vector<Arrival> arrivals;
  std::vector<uint64_t> timers;
  int batches = 0;
  std::function<void(const Datagram&)> onData;
  std::function<void()> onEnd;
  std::function<void()> onTime;

 private:
  uint64_t group_;
};

}  // namespace squall::fabric
