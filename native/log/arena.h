// One contiguous region for an engine's replicated state. What lies in it holds no pointers (indices and offsets only), so that
// the state can be copied and fingerprinted as bytes. Pages are taken from the system when first touched.
#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <cstdint>

namespace squall::log {

class Arena {
 public:
  explicit Arena(size_t bytes) : size_((bytes + 4095) & ~size_t{4095}) {
    void* p = mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    base_ = p == MAP_FAILED ? nullptr : static_cast<uint8_t*>(p);
  }
  ~Arena() { if (base_) munmap(base_, size_); }
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  bool ok() const { return base_ != nullptr; }
  /// Gives the pages back to the system; what is read from now on is zero.
  void discard() { if (base_) madvise(base_, size_, MADV_DONTNEED); }
  /// Zeroed room for `count` values, aligned to 64 bytes; null when the arena is too small.
  template <class T> T* take(size_t count) {
    const size_t at = (used_ + 63) & ~size_t{63};
    const size_t bytes = count * sizeof(T);
    if (!base_ || at + bytes > size_) return nullptr;
    used_ = at + bytes;
    return reinterpret_cast<T*>(base_ + at);
  }
  template <class T> static size_t need(size_t count) { return count * sizeof(T) + 64; }

 private:
  uint8_t* base_ = nullptr;
  size_t size_;
  size_t used_ = 0;
};

}  // namespace squall::log
