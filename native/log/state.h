// An engine's state as bytes: what it means, not where it lies, so that equal bytes are equal states. Layout: as the saving code writes it;
// read back by the same build only.
#pragma once

#include <type_traits>
#include <vector>

#include "wire/types.h"

namespace squall::log {

class StateWriter {
 public:
  explicit StateWriter(std::vector<uint8_t>& out) : out_(out) {}
  template <class T> void put(const T& value) {
    static_assert(std::is_trivially_copyable_v<T>);
    const auto* p = reinterpret_cast<const uint8_t*>(&value);
    out_.insert(out_.end(), p, p + sizeof value);
  }
  void bytes(Bytes value) {
    put(static_cast<uint32_t>(value.size()));
    out_.insert(out_.end(), value.begin(), value.end());
  }

 private:
  std::vector<uint8_t>& out_;
};

class StateReader {
 public:
  explicit StateReader(Bytes in) : in_(in) {}
  template <class T> T get() {
    T value{};
    if (in_.size() < sizeof value) { ok_ = false; return value; }
    std::memcpy(&value, in_.data(), sizeof value);
    in_ = in_.subspan(sizeof value);
    return value;
  }
  Bytes bytes() {
    const uint32_t length = get<uint32_t>();
    if (in_.size() < length) { ok_ = false; return {}; }
    const Bytes value = in_.first(length);
    in_ = in_.subspan(length);
    return value;
  }
  /// Whether everything that was read was there.
  bool ok() const { return ok_; }
  bool done() const { return ok_ && in_.empty(); }

 private:
  Bytes in_;
  bool ok_ = true;
};

}  // namespace squall::log
