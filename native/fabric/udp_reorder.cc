// Artificial reordering at a receiver, for tests and benchmarks: some requests wait until others have passed them.
#include "fabric/udp_reorder.h"

#include <algorithm>

#include "wire/frame.h"

namespace squall::fabric {
namespace {

constexpr size_t kMostHeld = 256;
constexpr uint64_t kLongestHoldUs = 1'000;     // where no other request follows
constexpr uint32_t kMillion = 1'000'000;

bool isRequest(const uint8_t* data, uint32_t length) {
  return length >= wire::kHeaderBytes && data[1] == static_cast<uint8_t>(MessageType::Request);
}

}  // namespace

bool UdpFabric::Reordering::draw() {
  // SplitMix64
  uint64_t z = state += 0x9E3779B97F4A7C15ull;
  z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9ull;
  z = (z ^ z >> 27) * 0x94D049BB133111EBull;
  return (z ^ z >> 31) % kMillion < options.ppm;
}

int UdpFabric::setReordering(const ReorderOptions& options) {
  if (closing_) return ESHUTDOWN;
  if (!reordering_) {
    if (options.ppm == 0) return 0;
    auto fresh = std::make_unique<Reordering>();
    if (const int error = fresh->alarm.open(loop_, &UdpFabric::onReorderAlarm, fresh.get())) return error;
    fresh->lifetime = lifetime_;
    ++lifetime_->openHandles;
    reordering_ = fresh.release();
  }
  reordering_->options = options;
  reordering_->state = options.seed;
  return 0;
}

void UdpFabric::dispatchReordered(UdpEndpoint& endpoint, const uint8_t* data, uint32_t length, const Address& from) {
  Reordering& reordering = *reordering_;
  const bool request = isRequest(data, length);
  if (request && reordering.held.size() < kMostHeld && reordering.draw()) {
    const uint64_t untilUs = nowUs(nullptr) + kLongestHoldUs;
    if (reordering.held.empty()) reordering.alarm.arm(untilUs);
    reordering.held.push_back({endpoint.id, from, std::max(reordering.options.behind, 1u), untilUs, {data, data + length}});
    return;
  }
  dispatch(endpoint, data, length, from);
  if (!request) return;
  for (auto& held : reordering.held) {
    if (held.endpoint == endpoint.id && held.behind > 0) --held.behind;
  }
  release([](const Reordering::Held& held) { return held.behind == 0; });
}

template <typename Due>
void UdpFabric::release(Due due) {
  auto& held = reordering_->held;
  for (size_t i = 0; i < held.size();) {
    if (!due(held[i])) {
      ++i;
      continue;
    }
    // Taken out first: an upcall may close endpoints, or the fabric.
    const Reordering::Held next = std::move(held[i]);
    held.erase(held.begin() + static_cast<std::ptrdiff_t>(i));
    UdpEndpoint* endpoint = find(next.endpoint);
    if (endpoint != nullptr) dispatch(*endpoint, next.bytes.data(), static_cast<uint32_t>(next.bytes.size()), next.from);
    if (reordering_ == nullptr) return;
  }
}

void UdpFabric::onReorderAlarm(void* context) {
  auto& reordering = *static_cast<Reordering*>(context);
  UdpFabric* fabric = reordering.lifetime->fabric;
  if (fabric == nullptr || fabric->reordering_ != &reordering || fabric->receiving_) return;
  fabric->receiving_ = true;
  const uint64_t now = fabric->nowUs(nullptr);
  fabric->release([now](const Reordering::Held& held) { return held.untilUs <= now; });
  fabric->endBatch();
  fabric->receiving_ = false;
  if (fabric->reordering_ != nullptr && !reordering.held.empty()) reordering.alarm.arm(reordering.held.front().untilUs);
}

void UdpFabric::retireReordering() {
  if (reordering_ == nullptr) return;
  reordering_->alarm.close(&UdpFabric::onReorderClosed);
  reordering_ = nullptr;
}

void UdpFabric::onReorderClosed(void* context) {
  auto* reordering = static_cast<Reordering*>(context);
  auto lifetime = std::move(reordering->lifetime);
  delete reordering;
  releaseHandle(std::move(lifetime));
}

}  // namespace squall::fabric
