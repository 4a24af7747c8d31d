// A datagram that is found before the loop sleeps is served without a sleep, a wake and a turn of the loop: together the larger part of
// what one operation at a time costs. Bounded, and only while datagrams go back and forth.
#include "fabric/udp_wait.h"

#include <poll.h>
#include <sched.h>

#include <algorithm>
#include <cerrno>

namespace squall::fabric {
namespace {

constexpr uint64_t kTurnUs = 400;          // after so long the loop turns, whatever comes: setImmediate, new handles of others

/// Whether any handle of the loop has an event, our sockets among them. Takes none, whatever way libuv watches it.
bool ready(const uv_loop_t* loop) {
  pollfd backend{uv_backend_fd(loop), POLLIN, 0};
  return ::poll(&backend, 1, 0) > 0;
}

inline void relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

}  // namespace

int UdpFabric::setWait(Receiver* receiver, WaitMode mode) {
  Member* member = findMember(receiver);
  if (closing_ || member == nullptr) return ESHUTDOWN;
  member->wait = mode;
  return applyWait();
}

/// The most eager of those who share the loop decides.
int UdpFabric::applyWait() {
  WaitMode mode = WaitMode::Block;
  for (const auto& [receiver, member] : members_) mode = std::max(mode, member->wait);
  if (waiter_ == nullptr) {
    if (mode == WaitMode::Block) return 0;
    auto fresh = std::make_unique<Waiter>();
    if (const int error = uv_prepare_init(loop_, &fresh->prepare)) return -error;
    fresh->prepare.data = fresh.get();
    fresh->lifetime = lifetime_;
    ++lifetime_->openHandles;
    waiter_ = fresh.release();
    uv_unref(reinterpret_cast<uv_handle_t*>(&waiter_->prepare));
  }
  waiter_->mode = mode;
  if (mode == WaitMode::Block) uv_prepare_stop(&waiter_->prepare);
  else uv_prepare_start(&waiter_->prepare, &UdpFabric::onPrepare);
  return 0;
}

WaitCounters UdpFabric::waitCounters() const { return waiter_ != nullptr ? waiter_->counters : WaitCounters{}; }

void UdpFabric::onPrepare(uv_prepare_t* handle) {
  auto& waiter = *static_cast<Waiter*>(handle->data);
  UdpFabric* fabric = waiter.lifetime->fabric;
  if (fabric == nullptr || fabric->waiter_ != &waiter) return;
  if (waiter.seenTraffic == fabric->traffic_) return;      // nobody was asked: nothing is awaited
  waiter.seenTraffic = fabric->traffic_;
  fabric->look();
}

void UdpFabric::look() {
  Waiter* const waiter = waiter_;
  uint64_t now = nowUs(nullptr);
  const uint64_t turnEnd = now + kTurnUs;
  for (;;) {
    // 0: setImmediate, a timer that is due, handles that close, the end of the loop.
    const int sleepMs = uv_backend_timeout(loop_);
    const uint32_t budget = sleepMs == 0 ? 0 : waiter->policy.budgetUs(now);
    if (budget == 0) return;
    const uint64_t dueUs = sleepMs < 0 ? ~0ull : (uv_now(loop_) + static_cast<uint64_t>(sleepMs)) * 1'000;
    const uint64_t start = now, end = std::min({start + budget, turnEnd, dueUs});
    ++waiter->counters.looks;
    bool found = false;
    while (now < end) {
      if (ready(loop_)) {
        found = poll() > 0;
        if (waiter_ != waiter) return;     // closed by an upcall
        if (!found) return;                // somebody else's event
        break;
      }
      if (waiter->mode == WaitMode::Yield) sched_yield();
      else relax();
      const uint64_t before = now;
      now = nowUs(nullptr);
      if (now - before <= WaitPolicy::kRobbedUs) continue;
      ++waiter->counters.robbed;
      waiter->policy.robbed(now);
      return;
    }
    if (!found) {
      if (end != start + budget) return;   // cut short: says nothing
      ++waiter->counters.missed;
      waiter->policy.missed(now);
      return;
    }
    ++waiter->counters.found;
    waiter->policy.found(static_cast<uint32_t>(now - start));
    waiter->seenTraffic = traffic_;
    now = nowUs(nullptr);
    if (now >= turnEnd) return;
  }
}

void UdpFabric::retireWaiter() {
  if (waiter_ == nullptr) return;
  uv_close(reinterpret_cast<uv_handle_t*>(&waiter_->prepare), [](uv_handle_t* handle) {
    auto* waiter = static_cast<Waiter*>(handle->data);
    auto lifetime = std::move(waiter->lifetime);
    delete waiter;
    releaseHandle(std::move(lifetime));
  });
  waiter_ = nullptr;
}

}  // namespace squall::fabric
