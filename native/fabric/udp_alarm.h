// One alarm clock on a libuv loop. On Linux a timerfd: microseconds, and a loop that waits without a time-out. With a libuv timer
// every wait programs the processor's timer once more, which was measured at 3 us for each wake of a process.
#pragma once

#include <uv.h>

#include <cstdint>

namespace squall::fabric {

class Alarm {
 public:
  /// Calls ring(context) at the armed time; never early. 0 or an errno. Does not keep the loop alive.
  int open(uv_loop_t* loop, void (*ring)(void*), void* context);
  /// At this time of uv_hrtime(), in us; replaces what was armed.
  void arm(uint64_t atUs);
  void disarm();
  /// closed(context) once the loop has let go of the handle.
  void close(void (*closed)(void*));

 private:
  void (*ring_)(void*) = nullptr;
  void (*closed_)(void*) = nullptr;
  void* context_ = nullptr;
#ifdef __linux__
  uv_poll_t handle_;
  int fd_ = -1;
#else
  uv_timer_t handle_;
#endif
};

}  // namespace squall::fabric
