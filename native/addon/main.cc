// The addon's exports. No state of its own: every environment (main thread, Workers) gets its own objects.
#include "addon/values.h"
#include "wire/channel.h"
#include "wire/crypto.h"

namespace squall::addon {

namespace {

Napi::Value sha256(const Napi::CallbackInfo& info) {
  wire::Sha256 hash;
  for (size_t i = 0; i < info.Length(); i++) {
    Bytes part;
    if (!readBytes(info[i], part)) {
      Napi::TypeError::New(info.Env(), "expected Uint8Arrays").ThrowAsJavaScriptException();
      return info.Env().Undefined();
    }
    hash.update(part);
  }
  Hash out;
  hash.finish(out);
  return copyBytes(info.Env(), out);
}

Napi::Value summaryHash(const Napi::CallbackInfo& info) {
  Bytes previous, record;
  if (!readBytes(info[0], previous) || previous.size() != 32 || !readBytes(info[1], record)) {
    Napi::TypeError::New(info.Env(), "expected a hash of 32 bytes and a record").ThrowAsJavaScriptException();
    return info.Env().Undefined();
  }
  Hash out;
  wire::summaryHash(previous.data(), record, out);
  return copyBytes(info.Env(), out);
}

Napi::Value clientKey(const Napi::CallbackInfo& info) {
  Bytes secret, id;
  Key key;
  if (!readBytes(info[0], secret) || secret.size() != key.size() || !readBytes(info[1], id) || id.size() != 8) {
    Napi::TypeError::New(info.Env(), "expected a secret of 32 bytes and an id of 8").ThrowAsJavaScriptException();
    return info.Env().Undefined();
  }
  std::memcpy(key.data(), secret.data(), key.size());
  return copyBytes(info.Env(), wire::clientKey(key, wire::load<uint64_t>(id.data())));
}

Napi::Object init(Napi::Env env, Napi::Object exports) {
  if (!wire::cryptoAvailable()) {
    Napi::Error error = Napi::Error::New(env, "this runtime has no OpenSSL whose symbols an addon can use");
    error.Set("code", Napi::String::New(env, "RUNTIME_UNSUPPORTED"));
    error.ThrowAsJavaScriptException();
    return exports;
  }
  exports.Set("version", Napi::String::New(env, "1"));
#ifdef SQUALL_MUTATIONS
  exports.Set("mutations", Napi::Boolean::New(env, true));
  exports.Set("allocations", Napi::Function::New(env, allocationCount, "allocations"));
#else
  exports.Set("mutations", Napi::Boolean::New(env, false));
#endif
  exports.Set("UdpFabric", defineUdpFabric(env));
  exports.Set("LoopHub", defineLoopHub(env));
  exports.Set("CaptureFabric", defineCaptureFabric(env));
  exports.Set("ReplicaEngine", defineReplicaEngine(env));
  exports.Set("ClientEngine", defineClientEngine(env));
  exports.Set("ToolEngine", defineToolEngine(env));
  exports.Set("Relay", defineRelay(env));
  exports.Set("sha256", Napi::Function::New(env, sha256));
  exports.Set("summaryHash", Napi::Function::New(env, summaryHash));
  exports.Set("clientKey", Napi::Function::New(env, clientKey));
  exports.Set("micro", Napi::Function::New(env, micro));
  exports.Set("lockFile", Napi::Function::New(env, lockFile));
  return exports;
}

}  // namespace

NODE_API_MODULE(squall, init)

}  // namespace squall::addon
