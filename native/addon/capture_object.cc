// CaptureFabric as a JavaScript object.
#include "addon/values.h"
#include "fabric/capture.h"
#include "wire/frame.h"

namespace squall::addon {

namespace {

constexpr napi_type_tag kCaptureTag = {0x51c4a1f0d3b24a03, 0x9e7755aa10c0ffee};

class CaptureFabricObject : public Napi::ObjectWrap<CaptureFabricObject> {
 public:
  explicit CaptureFabricObject(const Napi::CallbackInfo& info)
      : Napi::ObjectWrap<CaptureFabricObject>(info), fabric_(std::make_shared<fabric::CaptureFabric>()) {
    napi_type_tag_object(info.Env(), info.This(), &kCaptureTag);
  }
  std::shared_ptr<fabric::CaptureFabric> fabric() { return fabric_; }

  /// type, sender, 16 bytes that name the sender's stream, body
  Napi::Value Deliver(const Napi::CallbackInfo& info) {
    Bytes name, body;
    Salt salt;
    if (!info[0].IsNumber() || !info[1].IsNumber() || !readBytes(info[2], name) || name.size() != salt.size() || !readBytes(info[3], body)) {
      Napi::TypeError::New(info.Env(), "expected a type, a sender, 16 bytes and a body").ThrowAsJavaScriptException();
      return info.Env().Undefined();
    }
    std::memcpy(salt.data(), name.data(), salt.size());
    fabric_->deliver(static_cast<uint8_t>(info[0].As<Napi::Number>().Uint32Value()),
                     static_cast<uint64_t>(info[1].As<Napi::Number>().DoubleValue()), salt, body);
    return info.Env().Undefined();
  }
  Napi::Value Take(const Napi::CallbackInfo& info) {
    const std::vector<uint8_t> sent = fabric_->take();
    return sent.empty() ? info.Env().Undefined() : copyBytes(info.Env(), sent);
  }

 private:
  std::shared_ptr<fabric::CaptureFabric> fabric_;
};

}  // namespace

std::shared_ptr<fabric::Fabric> captureOf(Napi::Env env, Napi::Value value) {
  bool tagged = false;
  if (napi_check_object_type_tag(env, value, &kCaptureTag, &tagged) != napi_ok || !tagged) return nullptr;
  return CaptureFabricObject::Unwrap(value.As<Napi::Object>())->fabric();
}

Napi::Function defineCaptureFabric(Napi::Env env) {
  using O = CaptureFabricObject;
  return O::DefineClass(env, "CaptureFabric", {O::InstanceMethod("deliver", &O::Deliver), O::InstanceMethod("take", &O::Take)});
}

}  // namespace squall::addon
