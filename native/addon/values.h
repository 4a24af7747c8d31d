// Reading options of the TypeScript side. The TypeScript layer has validated them; what still does not fit is a TypeError.
#pragma once

#include <napi.h>

#include <memory>
#include <string>
#include <vector>

#include "fabric/loop.h"
#include "fabric/udp.h"
#include "wire/types.h"

namespace squall::addon {

/// Reads properties of one options object; remembers the first that does not fit.
class Options {
 public:
  Options(Napi::Env env, Napi::Value value);
  bool ok() const { return wrong_.empty(); }
  /// Throws the TypeError for the first wrong property; returns whether there was one.
  bool raise() const;

  double number(const char* name, double fallback);
  bool boolean(const char* name, bool fallback);
  std::string text(const char* name, const char* fallback);
  /// A typed array's memory; kept alive by the reference that is added to `keep`.
  uint8_t* memory(const char* name, size_t& bytes, std::vector<Napi::ObjectReference>& keep);
  template <size_t N> std::array<uint8_t, N> bytes(const char* name) {
    std::array<uint8_t, N> out{};
    fixed(name, out.data(), N);
    return out;
  }
  fabric::Address address(const char* name, bool required);
  /// "127.0.0.1", or "::1%lo" for IPv6; family 0 when absent.
  fabric::Address interfaceAddress(const char* name);
  std::vector<fabric::Address> addresses(const char* name);
  Napi::Value value(const char* name);
  void wrong(const char* name) { if (wrong_.empty()) wrong_ = name; }

 private:
  void fixed(const char* name, uint8_t* out, size_t length);
  fabric::Address toAddress(Napi::Value value, const char* name);
  Napi::Env env_;
  Napi::Object object_;
  std::string wrong_;
};

/// Reads a Uint8Array argument; false when it is none.
bool readBytes(Napi::Value value, Bytes& out);
Napi::Value addressValue(Napi::Env env, const fabric::Address& address);
Napi::Value copyBytes(Napi::Env env, Bytes bytes);
/// Throws an Error whose `code` is the name of the errno (EADDRINUSE, ...).
void throwErrno(Napi::Env env, int error, const char* what, const fabric::Address& address);

/// The engine's transport: the shared UDP fabric, one port of the simulator's network, or the explorer's. Sets `loop` for the latter two.
std::shared_ptr<fabric::Fabric> fabricOf(Napi::Env env, Options& options, bool& loop);
/// The property `wait`: "block" where it is absent.
fabric::WaitMode waitModeOf(Options& options);
/// Null unless it is a CaptureFabric.
std::shared_ptr<fabric::Fabric> captureOf(Napi::Env env, Napi::Value value);

Napi::Function defineUdpFabric(Napi::Env env);
Napi::Function defineLoopHub(Napi::Env env);
Napi::Function defineCaptureFabric(Napi::Env env);
Napi::Function defineReplicaEngine(Napi::Env env);
Napi::Function defineClientEngine(Napi::Env env);
Napi::Function defineToolEngine(Napi::Env env);
Napi::Function defineRelay(Napi::Env env);
Napi::Value micro(const Napi::CallbackInfo& info);
#ifdef SQUALL_MUTATIONS
/// allocations(): of the addon's own code on this thread, ever.
Napi::Value allocationCount(const Napi::CallbackInfo& info);
#endif
/// lockFile(fd): 0, or the errno; EBUSY when another open file has the lock.
Napi::Value lockFile(const Napi::CallbackInfo& info);

}  // namespace squall::addon
