// A tool's channel: asks replicas for their status as a client, or bootstraps them as an operator. Retries are the caller's.
// With a target, the multicast group or the relay, it also sends to all replicas the way that requests go.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "fabric/fabric.h"
#include "wire/channel.h"

namespace squall::client {

class Tool final : public fabric::Receiver {
 public:
  Tool(std::shared_ptr<fabric::Fabric> fabric, const wire::ChannelConfig& config, std::vector<fabric::Address> replicas,
       const fabric::Address& target, std::function<void(const wire::Opened&)> onMessage)
      : fabric_(std::move(fabric)), group_(config.group), channels_(config, wire::freshSalt(*fabric_)), replicas_(std::move(replicas)), target_(target),
        onMessage_(std::move(onMessage)) {}
  ~Tool() override { close(); }

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
  void send(uint32_t replica, MessageType type, Bytes body) {
    if (replica < replicas_.size()) send(wire::Target::one(replica), replicas_[replica], type, body);
  }
  /// To the address of `replica`, whatever index the replica there has by now.
  void ask(uint32_t replica, MessageType type, Bytes body) {
    if (replica < replicas_.size()) send(wire::Target::all(), replicas_[replica], type, body);
  }
  void sendToTarget(MessageType type, Bytes body) {
    if (target_.family) send(wire::Target::all(), target_, type, body);
  }
  fabric::EndpointId endpoint() const { return endpoint_; }

  uint64_t group() const override { return group_; }
  void onDatagram(const fabric::Datagram& datagram) override {
    Bytes rest{datagram.data, datagram.length};
    wire::Opened frame;
    while (!rest.empty() && endpoint_ != fabric::kNoEndpoint) {
      channels_.open(rest, datagram.from, frame);
      if (frame.dropped == DropReason::None && frame.complete) onMessage_(frame);
      if (!frame.frameBytes || frame.frameBytes >= rest.size()) break;
      rest = rest.subspan(frame.frameBytes);
    }
  }
  void onBatchEnd() override {}
  void onTimer() override {}

 private:
  void send(const wire::Target& target, const fabric::Address& to, MessageType type, Bytes body) {
    if (endpoint_ == fabric::kNoEndpoint) return;
    channels_.sealMessage(type, target, body, ++messageKey_, [&](size_t length) { return fabric_->reserve(endpoint_, length); },
                          [&](size_t length) { fabric_->commit(endpoint_, length, &to, 1); });
    fabric_->flush();
  }

  std::shared_ptr<fabric::Fabric> fabric_;
  uint64_t group_;
  wire::Channels channels_;
  std::vector<fabric::Address> replicas_;
  fabric::Address target_;
  std::function<void(const wire::Opened&)> onMessage_;
  fabric::EndpointId endpoint_ = fabric::kNoEndpoint;
  uint64_t messageKey_ = 0;
};

}  // namespace squall::client
