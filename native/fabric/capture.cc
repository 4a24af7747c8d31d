#include "fabric/capture.h"

#include <cerrno>

#include "fabric/loop.h"
#include "wire/frame.h"

namespace squall::fabric {

int CaptureFabric::attach(const EndpointOptions& options, Receiver* receiver, EndpointId& out) {
  if (receiver_ || options.multicast || options.bind.family != kLoopFamily || options.bind.port >= kClientPort) return EINVAL;
  receiver_ = receiver;
  own_ = options.bind;
  out = 0;
  return 0;
}

uint8_t* CaptureFabric::reserve(EndpointId, size_t length) {
  reserved_.resize(length);
  return reserved_.data();
}

void CaptureFabric::commit(EndpointId, size_t length, const Address* to, size_t count) {
  wire::FrameHeader header;
  if (wire::parseHeader({reserved_.data(), length}, header) != DropReason::None) return;
  uint32_t receivers = 0;
  for (size_t i = 0; i < count; i++) receivers |= 1u << to[i].port;
  const uint32_t head[3] = {receivers, header.type, static_cast<uint32_t>(length - wire::kFrameOverhead)};
  const auto* bytes = reinterpret_cast<const uint8_t*>(head);
  sent_.insert(sent_.end(), bytes, bytes + sizeof head);
  sent_.insert(sent_.end(), reserved_.begin() + wire::kHeaderBytes, reserved_.begin() + wire::kHeaderBytes + head[2]);
}

std::vector<uint8_t> CaptureFabric::take() {
  std::vector<uint8_t> out;
  out.swap(sent_);
  return out;
}

void CaptureFabric::deliver(uint8_t type, uint64_t sender, const Salt& salt, Bytes body) {
  if (!receiver_ || body.size() + wire::kFrameOverhead > wire::kMaxFrameBytes) return;
  wire::Sender kind{};
  if (!wire::senderOf(type, kind)) return;
  const auto length = static_cast<uint16_t>(body.size() + wire::kFrameOverhead);
  received_.assign(length, 0);
  wire::writeHeader(received_.data(), {wire::kWireVersion, type, length, 0, receiver_->group(), own_.port, sender, salt, ++counter_});
  if (!body.empty()) std::memcpy(received_.data() + wire::kHeaderBytes, body.data(), body.size());
  const uint16_t port = kind == wire::Sender::Client ? kClientPort : static_cast<uint16_t>(sender);
  receiver_->onDatagram({received_.data(), length, loopAddress(port)});
  if (receiver_) receiver_->onBatchEnd();
}

/// Nothing depends on it here: keys are not used, and salts need only differ between the engines of a group.
void CaptureFabric::entropy(uint8_t* out, size_t length) {
  for (size_t i = 0; i < length; i++) out[i] = static_cast<uint8_t>(own_.port + 1);
}

}  // namespace squall::fabric
