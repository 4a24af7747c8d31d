#include "fabric/udp_alarm.h"

#ifdef __linux__
#include <sys/timerfd.h>
#include <unistd.h>

#include <cerrno>
#endif

namespace squall::fabric {

#ifdef __linux__

int Alarm::open(uv_loop_t* loop, void (*ring)(void*), void* context) {
  ring_ = ring;
  context_ = context;
  fd_ = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
  if (fd_ < 0) return errno;
  if (const int error = uv_poll_init(loop, &handle_, fd_)) {
    ::close(fd_);
    return -error;
  }
  handle_.data = this;
  uv_poll_start(&handle_, UV_READABLE, [](uv_poll_t* handle, int, int) {
    auto* self = static_cast<Alarm*>(handle->data);
    uint64_t rings;
    if (::read(self->fd_, &rings, sizeof rings) == sizeof rings) self->ring_(self->context_);
  });
  uv_unref(reinterpret_cast<uv_handle_t*>(&handle_));
  return 0;
}

void Alarm::arm(uint64_t atUs) {
  itimerspec at{};
  at.it_value.tv_sec = static_cast<time_t>(atUs / 1'000'000);
  at.it_value.tv_nsec = static_cast<long>(atUs % 1'000'000 * 1'000);
  if (atUs == 0) at.it_value.tv_nsec = 1;      // zero would disarm
  timerfd_settime(fd_, TFD_TIMER_ABSTIME, &at, nullptr);
}

void Alarm::disarm() {
  const itimerspec never{};
  timerfd_settime(fd_, 0, &never, nullptr);
}

#else

int Alarm::open(uv_loop_t* loop, void (*ring)(void*), void* context) {
  ring_ = ring;
  context_ = context;
  if (const int error = uv_timer_init(loop, &handle_)) return -error;
  handle_.data = this;
  uv_unref(reinterpret_cast<uv_handle_t*>(&handle_));
  return 0;
}

void Alarm::arm(uint64_t atUs) {
  // The loop's clock counts the milliseconds of uv_hrtime and never runs ahead of it: rounding up is enough.
  const uint64_t dueMs = atUs / 1'000 + (atUs % 1'000 != 0);
  const uint64_t nowMs = uv_now(handle_.loop);
  uv_timer_start(&handle_, [](uv_timer_t* handle) {
    auto* self = static_cast<Alarm*>(handle->data);
    self->ring_(self->context_);
  }, dueMs > nowMs ? dueMs - nowMs : 0, 0);
}

void Alarm::disarm() { uv_timer_stop(&handle_); }

#endif

void Alarm::close(void (*closed)(void*)) {
  closed_ = closed;
  uv_close(reinterpret_cast<uv_handle_t*>(&handle_), [](uv_handle_t* handle) {
    auto* self = static_cast<Alarm*>(handle->data);
    self->closed_(self->context_);
  });
#ifdef __linux__
  ::close(fd_);      // no longer polled since uv_close
  fd_ = -1;
#endif
}

}  // namespace squall::fabric
