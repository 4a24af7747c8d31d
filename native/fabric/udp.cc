// Endpoints, receivers, timers and the end of it all; sending and receiving are in udp_send.cc and udp_receive.cc.
#include "fabric/udp.h"

#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>

#include "fabric/udp_internal.h"
#include "fabric/udp_receive.h"

namespace squall::fabric {
namespace {

constexpr size_t kMaxEndpoints = 0xFFFF;      // so that no id is kNoEndpoint

bool sameKey(const EndpointOptions& a, const EndpointOptions& b) {
  return a.bind == b.bind && a.multicast == b.multicast && a.interfaceAddress == b.interfaceAddress;
}

}  // namespace

UdpFabric::UdpFabric(uv_loop_t* loop)
    : loop_(loop), segmentation_(segmentationWorks()), lifetime_(std::make_shared<Lifetime>()) {
  lifetime_->fabric = this;
}

UdpFabric::~UdpFabric() {
  close(nullptr, nullptr);
  lifetime_->fabric = nullptr;
}

Capabilities UdpFabric::capabilities() const {
  Capabilities result;
  result.multicast = true;
  result.segmentation = segmentation_;
  result.maxDatagramBytes = maxDatagramBytes_;
  return result;
}

void UdpFabric::setMaxDatagramBytes(uint32_t bytes) { maxDatagramBytes_ = std::clamp(bytes, 512u, 65'000u); }

UdpEndpoint* UdpFabric::find(EndpointId id) const {
  const uint32_t index = id & 0xFFFF;
  if (index >= slots_.size() || slots_[index].generation != id >> 16) return nullptr;
  return slots_[index].endpoint;
}

UdpFabric::Member* UdpFabric::findMember(const Receiver* receiver) const {
  const auto found = members_.find(receiver);
  return found == members_.end() ? nullptr : found->second;
}

UdpEndpoint* UdpFabric::sharable(const EndpointOptions& options) const {
  for (const Slot& slot : slots_) {
    if (slot.endpoint == nullptr) continue;
    if (options.bind.port == 0) {
      if (options.sharedLoad == 0 || slot.endpoint->load == 0 || slot.endpoint->load + options.sharedLoad > kSharedLoad) continue;
      if (sameKey(slot.endpoint->options, options)) return slot.endpoint;
      continue;
    }
    EndpointOptions actual = slot.endpoint->options;
    actual.bind = slot.endpoint->bound;
    if (sameKey(slot.endpoint->options, options) || sameKey(actual, options)) return slot.endpoint;
  }
  return nullptr;
}

int UdpFabric::attach(const EndpointOptions& options, Receiver* receiver, EndpointId& out) {
  if (closing_) return ESHUTDOWN;
  if (receiver == nullptr) return EINVAL;

  UdpEndpoint* endpoint = sharable(options);
  if (endpoint == nullptr) {
    size_t index = 0;
    while (index < slots_.size() && slots_[index].endpoint != nullptr) ++index;
    if (index >= kMaxEndpoints) return EMFILE;
    int fd = -1;
    Address bound;
    if (const int error = openSocket(options, fd, bound)) return error;
    endpoint = new UdpEndpoint(*this, options, fd, bound);
    if (const int error = uv_poll_init(loop_, &endpoint->poll, fd)) {
      ::close(fd);
      delete endpoint;
      return -error;
    }
    endpoint->poll.data = endpoint;
    endpoint->lifetime = lifetime_;
    ++lifetime_->openHandles;
    if (index == slots_.size()) slots_.emplace_back();
    slots_[index].endpoint = endpoint;
    endpoint->id = static_cast<EndpointId>(slots_[index].generation) << 16 | static_cast<EndpointId>(index);
    if (const int error = uv_poll_start(&endpoint->poll, UV_READABLE, &UdpFabric::onReadable)) {
      retireEndpoint(endpoint);
      return -error;
    }
    if (!ring_) ring_ = std::make_unique<ReceiveRing>();
  }

  Member* member = findMember(receiver);
  if (member == nullptr) {
    member = new Member{};
    if (const int error = member->alarm.open(loop_, &UdpFabric::onTimer, member)) {
      delete member;
      if (endpoint->receivers.empty()) retireEndpoint(endpoint);
      return error;
    }
    member->receiver = receiver;
    member->lifetime = lifetime_;
    ++lifetime_->openHandles;
    members_.emplace(receiver, member);
  }
  if (std::find(endpoint->receivers.begin(), endpoint->receivers.end(), member) == endpoint->receivers.end()) {
    endpoint->receivers.push_back(member);
    ++member->attachments;
    member->destination = receiver->destination();
    if (member->destination != 0) endpoint->addressed.emplace(member->destination, member);
    member->load = options.sharedLoad;
    endpoint->load += member->load;
  }
  updateEndpointRef(*endpoint);
  out = endpoint->id;
  return 0;
}

void UdpFabric::detach(EndpointId id, Receiver* receiver) {
  UdpEndpoint* endpoint = find(id);
  Member* member = findMember(receiver);
  if (endpoint == nullptr || member == nullptr) return;
  auto& receivers = endpoint->receivers;
  const auto at = std::find(receivers.begin(), receivers.end(), member);
  if (at == receivers.end()) return;
  *at = nullptr;                               // a dispatch may be walking this list
  endpoint->load -= member->load;
  const auto addressed = endpoint->addressed.find(member->destination);
  if (addressed != endpoint->addressed.end() && addressed->second == member) endpoint->addressed.erase(addressed);
  endpoint->holes = true;
  if (std::all_of(receivers.begin(), receivers.end(), [](const Member* m) { return m == nullptr; })) {
    retireEndpoint(endpoint);
  } else {
    updateEndpointRef(*endpoint);
  }
  if (--member->attachments == 0) retireMember(member);
}

Address UdpFabric::addressOf(EndpointId id) const {
  const UdpEndpoint* endpoint = find(id);
  return endpoint != nullptr ? endpoint->bound : Address{};
}

UdpCounters UdpFabric::counters(EndpointId id) const {
  const UdpEndpoint* endpoint = find(id);
  return endpoint != nullptr ? endpoint->counters : UdpCounters{};
}

uint32_t UdpFabric::receiveBufferBytes(EndpointId id) const {
  const UdpEndpoint* endpoint = find(id);
  int bytes = 0;
  socklen_t length = sizeof bytes;
  if (endpoint == nullptr || getsockopt(endpoint->fd, SOL_SOCKET, SO_RCVBUF, &bytes, &length) != 0) return 0;
  return static_cast<uint32_t>(bytes);
}

int UdpFabric::setMulticastInterface(EndpointId id, const Address& interfaceAddress) {
  const UdpEndpoint* endpoint = find(id);
  return endpoint != nullptr ? setMulticastInterfaceOf(endpoint->fd, endpoint->bound.family, interfaceAddress) : EBADF;
}

int UdpFabric::setMulticastHops(EndpointId id, int hops) {
  const UdpEndpoint* endpoint = find(id);
  return endpoint != nullptr ? setMulticastHopsOf(endpoint->fd, endpoint->bound.family, hops) : EBADF;
}

void UdpFabric::setRef(Receiver* receiver, bool wanted) {
  Member* member = findMember(receiver);
  if (member == nullptr || member->wantsRef == wanted) return;
  member->wantsRef = wanted;
  for (const Slot& slot : slots_) {
    if (slot.endpoint != nullptr) updateEndpointRef(*slot.endpoint);
  }
}

void UdpFabric::updateEndpointRef(UdpEndpoint& endpoint) {
  const bool wanted = std::any_of(endpoint.receivers.begin(), endpoint.receivers.end(),
                                  [](const Member* m) { return m != nullptr && m->wantsRef; });
  auto* handle = reinterpret_cast<uv_handle_t*>(&endpoint.poll);
  if (wanted) uv_ref(handle);
  else uv_unref(handle);
}

// ---- sending: the fabric's side

uint8_t* UdpFabric::reserve(EndpointId id, size_t length) {
  if (length > kMaxTrainBytes) return nullptr;
  if (UdpEndpoint* endpoint = find(id)) return endpoint->reserve(length);
  if (!scratch_) scratch_.reset(new uint8_t[kMaxTrainBytes]);
  return scratch_.get();
}

void UdpFabric::commit(EndpointId id, size_t length, const Address* to, size_t count) {
  UdpEndpoint* endpoint = find(id);
  if (endpoint == nullptr || count == 0) return;
  endpoint->commit(length, to, count);
  if (!endpoint->dirty) {
    endpoint->dirty = true;
    dirty_.push_back(endpoint);
  }
}

void UdpFabric::flush() {
  traffic_ += dirty_.size();
  for (UdpEndpoint* endpoint : dirty_) {
    endpoint->dirty = false;
    endpoint->flush();
  }
  dirty_.clear();
}

// ---- clocks, timers, entropy

uint64_t UdpFabric::wallClockUs(const Receiver*) const {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000 + static_cast<uint64_t>(now.tv_nsec) / 1'000;
}

void UdpFabric::setTimer(Receiver* receiver, uint64_t atUs) {
  Member* member = findMember(receiver);
  if (member == nullptr) return;
  member->atUs = atUs;
  if (atUs != ~0ull) {
    armTimer(*member);
  } else if (member->armedUs != ~0ull) {
    member->armedUs = ~0ull;
    member->alarm.disarm();
  }
}

void UdpFabric::armTimer(Member& member) {
  // An earlier alarm looks again when it comes, so that moving a timer back, which happens with every batch, is free.
  if (member.armedUs <= member.atUs) return;
  member.armedUs = member.atUs;
  member.alarm.arm(member.atUs);
}

void UdpFabric::onTimer(void* context) {
  auto& member = *static_cast<Member*>(context);
  UdpFabric* fabric = member.lifetime->fabric;
  member.armedUs = ~0ull;
  if (fabric == nullptr || member.receiver == nullptr || member.atUs == ~0ull) return;
  if (member.atUs > fabric->nowUs(nullptr)) {
    fabric->armTimer(member);
    return;
  }
  member.atUs = ~0ull;
  member.receiver->onTimer();
  fabric->flush();
}

void UdpFabric::entropy(uint8_t* out, size_t length) {
  while (length > 0) {
    const size_t part = std::min<size_t>(length, 256);       // that much comes whole and uninterrupted
#ifdef __linux__
    const bool filled = getrandom(out, part, 0) == static_cast<ssize_t>(part);
#else
    const bool filled = getentropy(out, part) == 0;
#endif
    // libuv also knows /dev/urandom. Salts that can be guessed would be worse than an end with a reason.
    if (!filled && uv_random(nullptr, nullptr, out, part, 0, nullptr) != 0) std::abort();
    out += part;
    length -= part;
  }
}

// ---- the end

void UdpFabric::retireMember(Member* member) {
  members_.erase(member->receiver);
  member->receiver = nullptr;
  member->atUs = ~0ull;
  if (member->wait != WaitMode::Block && !closing_) applyWait();
  member->alarm.close(&UdpFabric::onTimerClosed);
}

void UdpFabric::retireEndpoint(UdpEndpoint* endpoint) {
  endpoint->flush();                           // a farewell may be queued
  if (endpoint->dirty) std::erase(dirty_, endpoint);
  Slot& slot = slots_[endpoint->id & 0xFFFF];
  slot.endpoint = nullptr;
  ++slot.generation;
  // Stopped polling by uv_close, the descriptor may go at once: the port is free when this returns.
  uv_close(reinterpret_cast<uv_handle_t*>(&endpoint->poll), &UdpFabric::onPollClosed);
  ::close(endpoint->fd);
  endpoint->fd = -1;
}

void UdpFabric::onTimerClosed(void* context) {
  auto* member = static_cast<Member*>(context);
  auto lifetime = std::move(member->lifetime);
  delete member;
  releaseHandle(std::move(lifetime));
}

void UdpFabric::onPollClosed(uv_handle_t* handle) {
  auto* endpoint = static_cast<UdpEndpoint*>(handle->data);
  auto lifetime = std::move(endpoint->lifetime);
  delete endpoint;
  releaseHandle(std::move(lifetime));
}

void UdpFabric::releaseHandle(std::shared_ptr<Lifetime> lifetime) {
  if (--lifetime->openHandles > 0 || lifetime->closed == nullptr) return;
  const auto closed = lifetime->closed;
  lifetime->closed = nullptr;
  closed(lifetime->context);                   // may delete the fabric
}

void UdpFabric::close(void (*done)(void*), void* context) {
  if (!closing_) {
    closing_ = true;
    for (const Slot& slot : slots_) {
      if (slot.endpoint == nullptr) continue;
      for (Member*& member : slot.endpoint->receivers) member = nullptr;
      slot.endpoint->addressed.clear();
      retireEndpoint(slot.endpoint);
    }
    while (!members_.empty()) retireMember(members_.begin()->second);
    retireReordering();
    retireWaiter();
  }
  if (done == nullptr) return;
  if (lifetime_->openHandles == 0) {
    done(context);
    return;
  }
  lifetime_->closed = done;
  lifetime_->context = context;
}

}  // namespace squall::fabric
