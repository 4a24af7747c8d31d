#include <algorithm>
#include <cerrno>

#include "fabric/loop_internal.h"
#include "wire/frame.h"

namespace squall::fabric {
namespace {

constexpr uint64_t kWallBaseUs = 1'700'000'000'000'000ull;   // when the simulated world began

bool sameGroup(const uint8_t* a, uint32_t aLength, const uint8_t* b, uint32_t bLength) {
  return aLength >= wire::kHeaderBytes && bLength >= wire::kHeaderBytes && std::memcmp(a + 8, b + 8, 8) == 0;
}

}  // namespace

LoopPort::LoopPort(LoopHub& hub, uint16_t index) : hub_(hub), index_(index) {}
LoopPort::~LoopPort() = default;

Capabilities LoopPort::capabilities() const {
  Capabilities result;
  result.multicast = true;
  result.maxDatagramBytes = hub_.maxDatagramBytes_;
  return result;
}

LoopPort::Member* LoopPort::find(const Receiver* receiver) const {
  for (const auto& member : members_) {
    if (member->receiver == receiver) return receiver == nullptr ? nullptr : member.get();
  }
  return nullptr;
}

int LoopPort::attach(const EndpointOptions& options, Receiver* receiver, EndpointId& out) {
  if (receiver == nullptr) return EINVAL;
  if (options.bind.family != kLoopFamily) return EAFNOSUPPORT;
  uint16_t number = options.bind.port;
  if (options.multicast != (number >= kFirstLoopGroup)) return EADDRNOTAVAIL;
  if (!options.multicast) {
    if (number != 0 && number != index_) return EADDRNOTAVAIL;
    number = index_;
  }
  EndpointId id = 0;
  while (id < endpoints_.size() && endpoints_[id] != number) ++id;
  if (id == endpoints_.size()) endpoints_.push_back(number);

  Member* member = find(receiver);
  for (size_t i = 0; member == nullptr && i < members_.size(); ++i) {
    if (members_[i]->receiver == nullptr) member = members_[i].get();
  }
  if (member == nullptr) member = members_.emplace_back(new Member).get();
  if (member->receiver == nullptr) {
    member->receiver = receiver;
    member->touched = false;
  }
  bool known = false;
  for (const EndpointId attached : member->attachments) known |= attached == id;
  if (!known) member->attachments.push_back(id);
  out = id;
  return 0;
}

void LoopPort::detach(EndpointId endpoint, Receiver* receiver) {
  Member* member = find(receiver);
  if (member == nullptr) return;
  std::erase(member->attachments, endpoint);
  if (!member->attachments.empty()) return;
  member->receiver = nullptr;
  member->timerAtUs = kNever;
  member->armedUs = kNever;
  ++member->generation;
}

bool LoopPort::listens(const Member& member, uint16_t group) const {
  return std::any_of(member.attachments.begin(), member.attachments.end(), [&](EndpointId id) { return endpoints_[id] == group; });
}

Address LoopPort::addressOf(EndpointId endpoint) const {
  return endpoint < endpoints_.size() ? loopAddress(endpoints_[endpoint]) : Address{};
}

uint8_t* LoopPort::reserve(EndpointId, size_t length) {
  if (length > wire::kMaxFrameBytes) return nullptr;
  if (reserved_ != nullptr) hub_.release(reserved_);
  reserved_ = hub_.allocate(length);
  return reserved_->data();
}

void LoopPort::commit(EndpointId endpoint, size_t length, const Address* to, size_t count) {
  LoopHub::Buffer* buffer = reserved_;
  reserved_ = nullptr;
  if (buffer == nullptr) return;
  if (count == 0 || endpoint >= endpoints_.size()) {
    hub_.release(buffer);
    return;
  }
  queue_.push_back({buffer, static_cast<uint32_t>(length), static_cast<uint32_t>(addresses_.size()),
                    static_cast<uint32_t>(count)});
  addresses_.insert(addresses_.end(), to, to + count);
}

void LoopPort::flush() {
  const auto sameList = [this](const Queued& a, const Queued& b) {
    if (a.addressCount != b.addressCount) return false;
    for (uint32_t i = 0; i < a.addressCount; ++i) {
      if (!(addresses_[a.firstAddress + i] == addresses_[b.firstAddress + i])) return false;
    }
    return true;
  };
  for (size_t i = 0; i < queue_.size();) {
    const Queued& first = queue_[i];
    LoopHub::Buffer* buffer = first.buffer;
    uint32_t length = first.length;
    size_t end = i + 1;
    if (hub_.packing_) {
      while (end < queue_.size() && length + queue_[end].length <= hub_.maxDatagramBytes_ &&
             sameList(first, queue_[end]) &&
             sameGroup(buffer->data(), first.length, queue_[end].buffer->data(), queue_[end].length)) {
        length += queue_[end++].length;
      }
      if (end > i + 1) {
        buffer = hub_.allocate(length);
        uint8_t* at = buffer->data();
        for (size_t frame = i; frame < end; ++frame) {
          std::memcpy(at, queue_[frame].buffer->data(), queue_[frame].length);
          at += queue_[frame].length;
          hub_.release(queue_[frame].buffer);
        }
      }
    }
    for (uint32_t a = 0; a < first.addressCount; ++a) {
      hub_.send(*this, addresses_[first.firstAddress + a], buffer, length);
    }
    hub_.release(buffer);
    i = end;
  }
  queue_.clear();
  addresses_.clear();
}

// ---- clocks and timers

uint64_t LoopPort::localUs(uint64_t virtualUs) const {
  const auto elapsed = static_cast<int64_t>(virtualUs - clockSetUs_);
  return clockBaseUs_ + static_cast<uint64_t>(elapsed + elapsed / 1'000'000 * driftPpm_ +
                                              elapsed % 1'000'000 * driftPpm_ / 1'000'000);
}

uint64_t LoopPort::virtualUs(uint64_t local) const {
  if (local <= clockBaseUs_) return clockSetUs_;
  const uint64_t ahead = local - clockBaseUs_;
  if (driftPpm_ == 0) return clockSetUs_ + ahead;
  const auto scaled = static_cast<unsigned __int128>(ahead) * 1'000'000;
  auto result = clockSetUs_ + static_cast<uint64_t>(scaled / static_cast<uint64_t>(1'000'000 + driftPpm_));
  while (localUs(result) < local) ++result;      // at most a few steps of rounding
  return result;
}

uint64_t LoopPort::nowUs(const Receiver*) const { return localUs(hub_.nowUs_); }

uint64_t LoopPort::wallClockUs(const Receiver*) const {
  const uint64_t sinceSet = localUs(hub_.nowUs_) - clockBaseUs_;
  return kWallBaseUs + clockSetUs_ + static_cast<uint64_t>(wallOffsetUs_) + sinceSet;
}

void LoopPort::setTimer(Receiver* receiver, uint64_t atUs) {
  for (uint32_t slot = 0; slot < members_.size(); ++slot) {
    if (members_[slot]->receiver != receiver) continue;
    members_[slot]->timerAtUs = atUs;
    if (atUs != kNever) armTimer(slot);
    return;
  }
}

void LoopPort::armTimer(uint32_t slot) {
  Member& member = *members_[slot];
  const uint64_t ahead = member.timerAtUs > clockBaseUs_ ? member.timerAtUs - clockBaseUs_ : 0;
  if (ahead > 1ull << 60) return;                // beyond any run; the conversion would overflow
  const uint64_t dueUs = std::max(virtualUs(member.timerAtUs), hub_.nowUs_);
  // An earlier event is still queued: it looks again when it comes, so moving a timer back costs nothing.
  if (member.armedUs <= dueUs) return;
  member.armedUs = dueUs;
  LoopHub::Event event{};
  event.kind = LoopHub::Event::Kind::Timer;
  event.to = index_;
  event.timer = {slot, ++member.generation};
  hub_.push(dueUs, event);
}

bool LoopPort::fireTimer(uint32_t slot, uint32_t generation) {
  Member& member = *members_[slot];
  if (member.generation != generation || member.receiver == nullptr) return false;
  member.armedUs = kNever;
  if (member.timerAtUs == kNever) return false;
  if (localUs(hub_.nowUs_) < member.timerAtUs) {
    armTimer(slot);
    return false;
  }
  member.timerAtUs = kNever;
  ++hub_.counters_.timers;
  member.receiver->onTimer();
  flush();
  return true;
}

void LoopPort::dropDeferred() {
  size_t kept = 0;
  for (size_t i = deferredHead_; i < deferred_.size(); ++i) {
    const LoopHub::Event event = deferred_[i];
    if (event.kind == LoopHub::Event::Kind::Datagram) {
      ++hub_.counters_.closed;
      hub_.release(event.buffer);
    } else {
      deferred_[kept++] = event;
    }
  }
  deferred_.resize(kept);
  deferredHead_ = 0;
  deferredDatagrams_ = 0;
}

void LoopPort::entropy(uint8_t* out, size_t length) { entropy_.fill(out, length); }

void LoopPort::trace(const Receiver*, uint8_t tag, Bytes bytes) {
  if (!hub_.tracing_) return;
  hub_.traceFrame(LoopHub::TraceKind::Record, index_, tag, bytes.data(), static_cast<uint32_t>(bytes.size()));
}

}  // namespace squall::fabric
