#include "addon/values.h"

#include <cerrno>
#include <cstring>

#include "fabric/address.h"

namespace squall::addon {

Options::Options(Napi::Env env, Napi::Value value) : env_(env) {
  if (value.IsObject()) object_ = value.As<Napi::Object>();
  else { object_ = Napi::Object::New(env); wrong_ = "options"; }
}

bool Options::raise() const {
  if (ok()) return false;
  Napi::TypeError::New(env_, "native option '" + wrong_ + "' is missing or has the wrong type").ThrowAsJavaScriptException();
  return true;
}

Napi::Value Options::value(const char* name) { return object_.Get(name); }

double Options::number(const char* name, double fallback) {
  const Napi::Value v = value(name);
  if (v.IsUndefined()) return fallback;
  if (!v.IsNumber()) { wrong(name); return fallback; }
  return v.As<Napi::Number>().DoubleValue();
}

bool Options::boolean(const char* name, bool fallback) {
  const Napi::Value v = value(name);
  if (v.IsUndefined()) return fallback;
  if (!v.IsBoolean()) { wrong(name); return fallback; }
  return v.As<Napi::Boolean>().Value();
}

std::string Options::text(const char* name, const char* fallback) {
  const Napi::Value v = value(name);
  if (v.IsUndefined()) return fallback;
  if (!v.IsString()) { wrong(name); return fallback; }
  return v.As<Napi::String>().Utf8Value();
}

uint8_t* Options::memory(const char* name, size_t& bytes, std::vector<Napi::ObjectReference>& keep) {
  const Napi::Value v = value(name);
  bytes = 0;
  if (!v.IsTypedArray()) { wrong(name); return nullptr; }
  const Napi::TypedArray array = v.As<Napi::TypedArray>();
  napi_typedarray_type type;
  size_t length;
  void* data;
  // ArrayBuffer() of node-addon-api refuses shared memory; the plain call does not.
  if (napi_get_typedarray_info(env_, v, &type, &length, &data, nullptr, nullptr) != napi_ok) { wrong(name); return nullptr; }
  bytes = array.ByteLength();
  keep.push_back(Napi::Persistent(array.As<Napi::Object>()));
  return static_cast<uint8_t*>(data);
}

void Options::fixed(const char* name, uint8_t* out, size_t length) {
  Bytes bytes;
  if (!readBytes(value(name), bytes) || bytes.size() != length) { wrong(name); return; }
  std::memcpy(out, bytes.data(), length);
}

fabric::Address Options::toAddress(Napi::Value v, const char* name) {
  fabric::Address out;
  if (!v.IsObject()) { wrong(name); return out; }
  const Napi::Object o = v.As<Napi::Object>();
  const Napi::Value loop = o.Get("loop");
  if (loop.IsNumber()) return fabric::loopAddress(static_cast<uint16_t>(loop.As<Napi::Number>().Uint32Value()));
  const Napi::Value ip = o.Get("ip"), port = o.Get("port");
  if (!ip.IsString() || !port.IsNumber() ||
      !fabric::parseAddress(ip.As<Napi::String>().Utf8Value().c_str(), static_cast<uint16_t>(port.As<Napi::Number>().Uint32Value()), out)) wrong(name);
  return out;
}

fabric::Address Options::address(const char* name, bool required) {
  const Napi::Value v = value(name);
  if (v.IsUndefined() && !required) return {};
  return toAddress(v, name);
}

fabric::Address Options::interfaceAddress(const char* name) {
  fabric::Address out;
  const std::string ip = text(name, "");
  if (!ip.empty() && !fabric::parseAddress(ip.c_str(), 0, out)) wrong(name);
  return out;
}

std::vector<fabric::Address> Options::addresses(const char* name) {
  std::vector<fabric::Address> out;
  const Napi::Value v = value(name);
  if (!v.IsArray()) { wrong(name); return out; }
  const Napi::Array list = v.As<Napi::Array>();
  for (uint32_t i = 0; i < list.Length(); i++) out.push_back(toAddress(list.Get(i), name));
  if (out.empty() || out.size() > kMaxReplicas) wrong(name);
  return out;
}

bool readBytes(Napi::Value value, Bytes& out) {
  if (!value.IsTypedArray()) return false;
  napi_typedarray_type type;
  size_t length;
  void* data;
  if (napi_get_typedarray_info(value.Env(), value, &type, &length, &data, nullptr, nullptr) != napi_ok || type != napi_uint8_array) return false;
  out = {static_cast<const uint8_t*>(data), length};
  return true;
}

Napi::Value addressValue(Napi::Env env, const fabric::Address& address) {
  Napi::Object o = Napi::Object::New(env);
  if (address.family == fabric::kLoopFamily) { o.Set("loop", address.port); return o; }
  o.Set("ip", fabric::formatIp(address));
  o.Set("port", address.port);
  return o;
}

Napi::Value copyBytes(Napi::Env env, Bytes bytes) {
  napi_value out;
  if (napi_create_buffer_copy(env, bytes.size(), bytes.data(), nullptr, &out) != napi_ok) return env.Undefined();
  return Napi::Value(env, out);
}

void throwErrno(Napi::Env env, int error, const char* what, const fabric::Address& address) {
  const char* code = error == EADDRINUSE ? "EADDRINUSE" : error == EADDRNOTAVAIL ? "EADDRNOTAVAIL" : error == EACCES ? "EACCES"
      : error == EAFNOSUPPORT ? "EAFNOSUPPORT" : error == EINVAL ? "EINVAL" : error == ENODEV ? "ENODEV" : error == EMFILE ? "EMFILE" : "EIO";
  Napi::Error e = Napi::Error::New(env, std::string(what) + " " + fabric::formatAddress(address) + ": " + std::strerror(error));
  e.Set("code", Napi::String::New(env, code));
  e.ThrowAsJavaScriptException();
}

fabric::WaitMode waitModeOf(Options& options) {
  const std::string name = options.text("wait", "block");
  if (name == "yield") return fabric::WaitMode::Yield;
  if (name == "spin") return fabric::WaitMode::Spin;
  if (name != "block") options.wrong("wait");
  return fabric::WaitMode::Block;
}

}  // namespace squall::addon
