// An advisory lock on an open file, which Node has no call for. The kernel gives it back when the process ends, however it ends.
#include <sys/file.h>

#include <cerrno>

#include "addon/values.h"

namespace squall::addon {

Napi::Value lockFile(const Napi::CallbackInfo& info) {
  if (!info[0].IsNumber()) {
    Napi::TypeError::New(info.Env(), "expected a file descriptor").ThrowAsJavaScriptException();
    return info.Env().Undefined();
  }
  int result;
  do {
    result = flock(info[0].As<Napi::Number>().Int32Value(), LOCK_EX | LOCK_NB);
  } while (result != 0 && errno == EINTR);
  if (result == 0) return Napi::Number::New(info.Env(), 0);
  return Napi::Number::New(info.Env(), errno == EWOULDBLOCK ? EBUSY : errno);
}

}  // namespace squall::addon
