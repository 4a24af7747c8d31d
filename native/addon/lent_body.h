// Large bodies of control messages in memory that is used again for the next one: while log and state are fetched, each in memory of its own
// would be garbage of tens of MB a second.
#pragma once

#include <napi.h>

#include <cstring>

#include "wire/types.h"

namespace squall::addon {

class LentBody {
 public:
  /// `body` as a Uint8Array that is good for one call. False: it is small, or too large, and gets memory of its own.
  bool lend(napi_env env, Bytes body, napi_value& out) {
    if (body.size() < kFrom || body.size() > kBytes) return false;
    napi_value buffer = nullptr;
    void* data = nullptr;
    size_t bytes = 0;
    const bool there = buffer_ && napi_get_reference_value(env, buffer_, &buffer) == napi_ok && buffer &&
                       napi_get_arraybuffer_info(env, buffer, &data, &bytes) == napi_ok && bytes == kBytes;
    if (!there) {               // the first, or somebody gave it away to another thread
      release(env);
      if (napi_create_arraybuffer(env, kBytes, &data, &buffer) != napi_ok || napi_create_reference(env, buffer, 1, &buffer_) != napi_ok) return false;
    }
    std::memcpy(data, body.data(), body.size());
    return napi_create_typedarray(env, napi_uint8_array, body.size(), buffer, 0, &out) == napi_ok;
  }
  void release(napi_env env) {
    if (buffer_) napi_delete_reference(env, buffer_);
    buffer_ = nullptr;
  }

 private:
  static constexpr size_t kFrom = 4 * 1024, kBytes = 72 * 1024;   // up to a message of the usual size
  napi_ref buffer_ = nullptr;
};

}  // namespace squall::addon
