// The serialized design in software: forwards every datagram to all replicas in the one order in which it came, unread.
// The stand-in for the paper's root switch (section 3.2.3).
#pragma once

#include <memory>
#include <vector>

#include "fabric/fabric.h"

namespace squall::protocol {

class Relay final : public fabric::Receiver {
 public:
  Relay(std::shared_ptr<fabric::Fabric> fabric, std::vector<fabric::Address> targets) : fabric_(std::move(fabric)), targets_(std::move(targets)) {}
  ~Relay() override { close(); }

  int open(const fabric::Address& bind) {
    fabric::EndpointOptions options;
    options.bind = bind;
    return fabric_->attach(options, this, endpoint_);
  }
  void close() {
    if (endpoint_ == fabric::kNoEndpoint) return;
    fabric_->detach(endpoint_, this);
    endpoint_ = fabric::kNoEndpoint;
  }

  void setTargets(std::vector<fabric::Address> targets) { targets_ = std::move(targets); }

  uint64_t group() const override { return 0; }   // every group
  void onDatagram(const fabric::Datagram& datagram) override {
    uint8_t* out = fabric_->reserve(endpoint_, datagram.length);
    if (!out) return;
    std::memcpy(out, datagram.data, datagram.length);
    fabric_->commit(endpoint_, datagram.length, targets_.data(), targets_.size());
  }
  void onBatchEnd() override { fabric_->flush(); }
  void onTimer() override {}
  fabric::EndpointId endpoint() const { return endpoint_; }

 private:
  std::shared_ptr<fabric::Fabric> fabric_;
  std::vector<fabric::Address> targets_;
  fabric::EndpointId endpoint_ = fabric::kNoEndpoint;
};

}  // namespace squall::protocol
