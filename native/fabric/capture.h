// The explorer's transport: what an engine sends is kept, unsealed, for whoever takes it; what it receives is handed in one message at a
// time. No time passes. For an engine in the unsealed mode with one endpoint and frames that hold any message whole.
#pragma once

#include <vector>

#include "fabric/fabric.h"

namespace squall::fabric {

class CaptureFabric final : public Fabric {
 public:
  /// Frames to this port of the loop's address family are a client's.
  static constexpr uint16_t kClientPort = 31;

  /// A frame from `sender`, a replica's index or a client's id, and the end of its batch.
  void deliver(uint8_t type, uint64_t sender, const Salt& salt, Bytes body);
  /// What was sent since the last call, in order. Each message: receivers as a bit mask of their ports 4 | type 4 | length 4 | body.
  std::vector<uint8_t> take();

  Capabilities capabilities() const override { return {}; }
  int attach(const EndpointOptions& options, Receiver* receiver, EndpointId& out) override;
  void detach(EndpointId, Receiver*) override { receiver_ = nullptr; }
  Address addressOf(EndpointId) const override { return own_; }
  uint8_t* reserve(EndpointId, size_t length) override;
  void commit(EndpointId endpoint, size_t length, const Address* to, size_t count) override;
  void flush() override {}
  uint64_t nowUs(const Receiver*) const override { return kNowUs; }
  uint64_t wallClockUs(const Receiver*) const override { return kNowUs; }
  void setTimer(Receiver*, uint64_t) override {}
  void entropy(uint8_t* out, size_t length) override;

  static constexpr uint64_t kNowUs = 1'000'000'000;

 private:
  Receiver* receiver_ = nullptr;
  Address own_;
  uint64_t counter_ = 0;
  std::vector<uint8_t> reserved_, sent_, received_;
};

}  // namespace squall::fabric
